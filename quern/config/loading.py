"""From files and environment to `Settings`.

The order of precedence is getconf's: the environment, then the files, the last one first, then the default. Reading and
judging are ours, because getconf takes any unknown word for false, reads nothing from a path with a [ in it, stumbles
over an empty variable, and never reports unknown keys or lines. An empty value means the default, but for
SOURCE_DATE_EPOCH (see `environment`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

from getconf import BaseConfigGetter
from getconf.finders import NotFound

from quern.config import settings
from quern.config.container import daemon
from quern.config.environment import home, read_environment
from quern.config.ini import SECTION, Entries, Entry, read_file
from quern.config.option import Option
from quern.config.options import REMOVED, REPOSITORY, options_of
from quern.config.settings import RepositorySection, Settings
from quern.config.values import Context, Parser, Unfit
from quern.errors import ConfigError, hint

SYSTEM_FILE = Path("/etc/quern.conf")

_T = TypeVar("_T")


def search(file: Path, environ: Mapping[str, str], system: Path = SYSTEM_FILE) -> tuple[Path, ...]:
    """List the files `load` should read for an image: the system's, the image's own, and the one QUERN_CONFIG names.

    Raises ConfigError when QUERN_CONFIG names no file: the others may be absent, what was asked for may not.
    """
    named = environ.get("QUERN_CONFIG", "")
    if not named:
        return (system, file)
    if not os.path.isfile(named):
        raise ConfigError(f"QUERN_CONFIG: expected a file, got {named!r}")
    return (system, file, Path(os.path.abspath(named)))


def load(files: Sequence[Path], environ: Mapping[str, str], base: Path) -> Settings:
    """Read `files` (rising precedence; absent ones are skipped) and `environ` into a Settings.

    Relative paths start at `base`. Raises ConfigError with one message that names the place and the option.
    """
    read = [(path, entries) for path in files if (entries := read_file(path)) is not None]
    merged: Entries = {}
    for _, entries in read:
        merged.update(entries)
    loader = _Loader(read_environment(environ), merged, Context(Path(os.path.abspath(base)), home(environ)))
    found = Settings(
        build=loader.section("build", settings.Build),
        docker=loader.docker(environ.get("DOCKER_HOST", "")),
        emerge=loader.section("emerge", settings.Emerge),
        portage=loader.section("portage", settings.Portage),
        repositories=tuple(loader.repositories()),
        strip=loader.section("strip", settings.Strip),
        postbuild=loader.section("postbuild", settings.Postbuild),
        dockergen=loader.section("dockergen", settings.Dockergen),
        tests=loader.section("tests", settings.Tests),
        sources=tuple(path for path, _ in read),
        origins=tuple(loader.origins.items()),
        warnings=tuple(loader.warnings()),
    )
    _check_names(found)
    return found


class _Finder:
    """What getconf asks for the text of SECTION.KEY."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries

    def find(self, key: str) -> Entry:
        section, _, name = key.rpartition(".")
        try:
            return self.entries[section, name]
        except KeyError:
            raise NotFound(key) from None


class _Loader:
    """One look-up in all sources; remembers where each option that is set was found."""

    def __init__(self, environment: Entries, files: Entries, context: Context) -> None:
        self.getter = BaseConfigGetter(_Finder(environment), _Finder(files))
        self.given = environment.keys() | files.keys()
        self.files = files
        self.context = context
        self.origins: dict[str, str] = {}

    def section(self, section: str, make: Callable[..., _T]) -> _T:
        """Give a section's frozen value; `make` takes its options by name."""
        defaults = _defaults(section, self.context)
        given = [option for option in options_of(section) if (section, option.key) in self.given]
        return make(**{**defaults, **{option.field: self.value(option, section) for option in given}})

    def value(self, option: Option, section: str) -> object:
        name = f"{section}.{option.key}"
        entry: Entry = self.getter.getstr(name)
        if not entry.text:
            return _default(option, self.context)
        if "\n" in entry.text and not option.multiline:
            raise ConfigError(f"{entry.origin}: {name}: expected one line, got {entry.text!r}")
        return self.parse(option.parse, name, entry)

    def parse(self, parse: Parser, name: str, entry: Entry) -> object:
        self.origins[name] = entry.origin
        try:
            return parse(entry.text, self.context)
        except Unfit as error:
            got = entry.text if error.got is None else error.got
            raise ConfigError(f"{entry.origin}: {name}: expected {error.expected}, got {got!r}") from None

    def warnings(self) -> Iterator[str]:
        """Give a line for each option that is set and has no effect any more."""
        for option in REMOVED:
            if (option.section, option.key) in self.given:
                entry: Entry = self.getter.getstr(option.name)
                yield f"Warning: {entry.origin}: {option.name} has no effect any more: {option.doc}"

    def docker(self, docker_host: str) -> settings.Docker:
        found = self.section("docker", settings.Docker)
        if found.daemon or not docker_host:
            return found
        return found._replace(daemon=str(self.parse(daemon, "docker.daemon", Entry(docker_host, "DOCKER_HOST"))))

    def repositories(self) -> Iterator[RepositorySection]:
        """Give every [repository:NAME] section, by name."""
        for section in sorted(name for name, key in self.files if key == SECTION and name.startswith(REPOSITORY)):
            if not self.files.get((section, "location"), Entry("", "")).text:
                where = self.files[section, SECTION].origin
                raise ConfigError(f"{where}: {section}: expected `location = PATH`, got none")
            yield self.section(section, partial(RepositorySection, section.removeprefix(REPOSITORY)))


@cache  # a hundred images have most of their values from here
def _defaults(section: str, context: Context) -> Mapping[str, object]:
    """The values, by field, that a section has where nobody sets anything."""
    return {option.field: _default(option, context) for option in options_of(section)}


def _default(option: Option, context: Context) -> object:
    return option.parse(option.default, context) if option.default else option.empty


def _check_names(found: Settings) -> None:
    """Refuse a bare name in portage.repositories that has no section."""
    names = ["starter", *(section.name for section in found.repositories)]
    for reference in found.portage.repositories or ():
        name = reference.name
        if name and name not in names:
            raise ConfigError(
                f"{dict(found.origins)['portage.repositories']}: portage.repositories: there is no [repository:{name}]"
                f"{hint(name, names)} (a folder has a slash in it: ./{name})"
            )
