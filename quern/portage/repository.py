"""Portage repositories: which ones an image uses, what each says of itself, and the repos.conf that tells Portage.

emerge drops a repository that is absent, misnamed, or builds upon an unknown one, says so in one line, and goes on
without it to exit 0. Here all of that is an error, before emerge is called.

Sources: PMS 4 (tree layout), portage(5) for metadata/layout.conf and repos.conf.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from quern.config import Settings
from quern.config.portage import is_repository_name
from quern.config.settings import RepositoryRef, RepositorySection
from quern.errors import RepositoryError, display, hint, spelled
from quern.portage import reading

LAYOUT = "metadata/layout.conf"
# Portage writes repos.conf for itself, with single % (RepoConfigLoader.config_string), and reads only UTF-8
UNFIT = r"[%\ud800-\udfff]"
SYSTEM = (Path("/var/db/repos/gentoo"), Path("/usr/portage"))

OVERLAY_FORMATS = ("portage-2", "profile-set", "profile-default-eapi")
OVERLAY_EAPI = "6"  # the last one in which a profile may hold package.provided

NO_REPOSITORY = """\
portage.repositories is not set, and there is no Gentoo tree in {places}
Set it to the path of one, or to the small repository that comes with quern:
    [portage]
    repositories = starter"""


class Repository(NamedTuple):
    """One repository, as Portage will see it.

    location            its folder
    profiles            where its profiles are read; for our overlay the project's folder, which is copied to `location`
    masters             what it builds upon; None: layout.conf does not say, Portage takes the main repository
    priority            the higher wins; None: Portage's default
    profile_formats     PMS calls these profile formats; "profile-set" makes @profile work
    profile_eapi        EAPI of profile folders without a file `eapi`
    checks_manifests    whether Portage insists on a Manifest for its packages' sources
    """

    name: str
    location: Path
    profiles: Path
    masters: tuple[str, ...] | None = None
    priority: int | None = None
    eclass_overrides: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    profile_formats: tuple[str, ...] = ()
    profile_eapi: str = "0"
    checks_manifests: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it is known by."""
        return (self.name, *self.aliases)

    @property
    def is_copied(self) -> bool:
        """Is its profiles folder copied into place (our overlay), so that nothing in it may lead out of it?"""
        return self.profiles != self.location / "profiles"


def read_repository(location: Path) -> Repository:
    """Read what the repository in a folder says of itself. Raises RepositoryError when it is none."""
    where = display(location)
    if not location.is_dir():
        raise RepositoryError(f"{where}: there is no such folder")
    if odd := re.search(UNFIT, str(location)):
        raise RepositoryError(
            f"{spelled(str(location))}: Portage finds no repository in a folder with '{spelled(odd[0])}' in its path"
        )
    layout = _read_layout(location / LAYOUT)
    name = layout.get("repo-name") or _read_name(location / "profiles")
    if not name:
        raise RepositoryError(f"{where}: expected a Portage repository, but it has no profiles/repo_name")
    if not is_repository_name(name):
        raise RepositoryError(f"{where}: {name!r} is no name for a repository (letters, digits, _ and -)")
    formats = tuple(layout.get("profile-formats", "portage-1-compat").split())
    return Repository(
        name=name,
        location=location,
        profiles=location / "profiles",
        masters=tuple(layout["masters"].split()) if "masters" in layout else None,
        aliases=tuple(layout.get("aliases", "").split()),
        profile_formats=formats,
        profile_eapi=layout.get("profile_eapi_when_unspecified", "0") if "profile-default-eapi" in formats else "0",
        checks_manifests=layout.get("use-manifests", "strict").lower() == "strict",
    )


def overlay_repository(profiles: Path, location: Path, masters: Sequence[str]) -> Repository:
    """Describe the overlay that will be made at `location` around the project's `profiles` folder.

    Raises RepositoryError when profiles/repo_name is missing or holds no name.
    """
    where = display(profiles / "repo_name")
    name = _read_name(profiles)
    if not name:
        raise RepositoryError(f"{where}: expected a file with the name of this project's overlay in one line")
    if not is_repository_name(name) or name == "starter":
        raise RepositoryError(f"{where}: expected a name of letters, digits, _ and - (not starter), got {name!r}")
    return Repository(
        name, location, profiles, tuple(masters), profile_formats=OVERLAY_FORMATS, profile_eapi=OVERLAY_EAPI
    )


def load_repositories(
    settings: Settings, starter: Path, overlay: Repository | None = None, system: Sequence[Path] = SYSTEM
) -> tuple[Repository, ...]:
    """Read the repositories of an image, in the order of portage.repositories, then the overlay.

    starter     what the name `starter` stands for
    system      where to look when portage.repositories is not set; the first that is there
    Raises RepositoryError for anything that Portage would drop or ignore.
    """
    where = dict(settings.origins).get("portage.repositories", "portage.repositories")
    references = settings.portage.repositories
    if references is None:
        references = (RepositoryRef(None, _system_tree(system)),)
    found = [_resolve(reference, settings.repositories, starter, where) for reference in references]
    if overlay:
        found.append(overlay)
    _check_distinct(found)
    _check_known(found)
    return tuple(found)


def available_packages(repositories: Iterable[Repository]) -> list[str]:
    """The names category/package of all the repositories' packages, sorted (PMS 4.4 profiles/categories, 4.5)."""
    names: set[str] = set()
    for repository in repositories:
        for category in categories(repository):
            folder = repository.location / category
            if folder.is_dir():
                names.update(f"{category}/{entry.name}" for entry in folder.iterdir() if entry.is_dir())
    return sorted(names)


def categories(repository: Repository) -> list[str]:
    """The categories that a repository lists; none where it has no such file."""
    file = repository.profiles / "categories"
    return reading.text(file).split() if file.exists() else []


def main_repository(repositories: Sequence[Repository]) -> Repository:
    """The first that builds upon no other one, else the first."""
    return next((repository for repository in repositories if not repository.masters), repositories[0])


def repos_conf(repositories: Sequence[Repository]) -> str:
    """Write repos.conf, which is the value of PORTAGE_REPOSITORIES as well. Nothing is ever synced."""
    sections = [_section("DEFAULT", [("main-repo", main_repository(repositories).name)])]
    sections += [_section(repository.name, _options(repository)) for repository in repositories]
    return "\n".join(sections)


def _options(repository: Repository) -> list[tuple[str, str]]:
    options = [("location", str(repository.location)), ("auto-sync", "no"), ("sync-type", "")]
    if repository.masters is not None:
        options.append(("masters", " ".join(repository.masters)))
    if repository.priority is not None:
        options.append(("priority", str(repository.priority)))
    if repository.eclass_overrides:
        options.append(("eclass-overrides", " ".join(repository.eclass_overrides)))
    if repository.aliases:
        options.append(("aliases", " ".join(repository.aliases)))
    return options


def _section(name: str, options: Iterable[tuple[str, str]]) -> str:
    """Write a section. Portage reads it with configparser's interpolation, so % is doubled."""
    lines = [f"[{name}]"]
    for key, value in options:
        if any(end in value for end in "\n\r\0"):
            raise RepositoryError(f"repository {name}: {key}: expected one line, got {value!r}")
        lines.append(f"{key} = {value}".rstrip().replace("%", "%%"))
    return "\n".join(lines) + "\n"


def _read_layout(file: Path) -> dict[str, str]:
    """Read layout.conf: `key = value` lines. An absent file says nothing."""
    if not file.exists():
        return {}
    layout = {}
    for number, raw in enumerate(reading.text(file).split("\n"), start=1):
        key, equals, value = (part.strip() for part in raw.partition("="))
        if not raw.strip() or raw.lstrip().startswith("#"):
            continue
        if not equals:
            raise RepositoryError(f"{display(file)}:{number}: expected `key = value`, got {raw.strip()!r}")
        layout[key] = value
    return layout


def _read_name(profiles: Path) -> str:
    """Give the first line of profiles/repo_name, or nothing."""
    try:
        text = reading.text(profiles / "repo_name")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return text.split("\n")[0].strip()


def _system_tree(system: Sequence[Path]) -> Path:
    for place in system:
        if place.is_dir():
            return place
    raise RepositoryError(NO_REPOSITORY.format(places=" or ".join(map(str, system))))


def _resolve(reference: RepositoryRef, sections: Sequence[RepositorySection], starter: Path, where: str) -> Repository:
    if reference.path is not None:
        return _read_named(reference.path, where, "portage.repositories")
    if reference.name == "starter":
        return read_repository(starter)
    section = next(section for section in sections if section.name == reference.name)
    return _apply(section, _read_named(section.location, f"[repository:{section.name}]", "location"))


def _read_named(location: Path, where: str, option: str) -> Repository:
    try:
        return read_repository(location)
    except RepositoryError as error:
        raise RepositoryError(f"{where}: {option}: {error}") from None


def _apply(section: RepositorySection, repository: Repository) -> Repository:
    """Let a [repository:NAME] section override what the repository says of itself."""
    repository = repository._replace(
        masters=repository.masters if section.masters is None else section.masters,
        priority=section.priority,
        eclass_overrides=section.eclass_overrides,
        aliases=tuple(dict.fromkeys((*repository.aliases, *section.aliases))),
    )
    if section.name not in repository.names:
        raise RepositoryError(
            f"[repository:{section.name}]: {display(repository.location)} calls itself {repository.name!r}; "
            f"name the section [repository:{repository.name}], or give it `aliases = {section.name}`"
        )
    return repository


def _check_distinct(repositories: Sequence[Repository]) -> None:
    """No name and no alias may stand for two repositories."""
    seen: dict[str, Repository] = {}
    for repository in repositories:
        for name in repository.names:
            other = seen.setdefault(name, repository)
            if other is not repository:
                raise RepositoryError(
                    f"two repositories are called {name!r}: "
                    f"{display(other.location)} and {display(repository.location)}"
                )


def _check_known(repositories: Sequence[Repository]) -> None:
    """What a repository builds upon must be among them: Portage drops the repository, or its eclasses, otherwise."""
    known = [name for repository in repositories for name in repository.names]
    for repository in repositories:
        others = [name for name in known if name not in repository.names]
        for option, names in (("masters", repository.masters or ()), ("eclass-overrides", repository.eclass_overrides)):
            for name in names:
                if name not in known:
                    raise RepositoryError(
                        f"repository {repository.name!r} ({display(repository.location)}): {option} names {name!r}, "
                        f"which portage.repositories does not list{hint(name, others)}"
                        f" (a tree of another name can be given `aliases = {name}` in its [repository:...] section)"
                    )
