"""Reading the environment: QUERN_SECTION_KEY for every option."""

from __future__ import annotations

import os
from collections.abc import Mapping

from quern.config.ini import Entries, Entry
from quern.config.option import Option
from quern.config.options import OPTIONS, REMOVED, sections
from quern.config.values import plain
from quern.errors import ConfigError, hint, nearest

_FOREIGN = {option.variable for option in OPTIONS if option.variable}
EMPTY = "expected a value, got an empty one; has the command failed that should print it? (unset it for the default)"
_OURS = ("QUERN_CONFIG", "QUERN_SYSROOT")  # variables of quern that are no options


def read_environment(environ: Mapping[str, str]) -> Entries:
    """Read every option's variables.

    Raises ConfigError for one that looks like an option's and is none, for two spellings that disagree, and for an
    empty SOURCE_DATE_EPOCH: there a command prints the value, and `export` does not tell that it failed.
    """
    if not any(name.startswith("QUERN_") or name in _FOREIGN for name in environ):
        return {}  # as is usual, and asked once for each image
    _check_names(environ)
    entries: Entries = {}
    for option in (*OPTIONS, *REMOVED):
        name = _variable_of(option, environ)
        if name:
            text = environ[name].strip()
            if not plain(text.replace("\n", " ").replace("\t", " ")):
                raise ConfigError(f"{name}: {option.name}: expected text without control characters, got {text!r}")
            if option.variable and not text:
                raise ConfigError(f"{name}: {option.name}: {EMPTY}")
            entries[option.section, option.key] = Entry(text, name)
    return entries


def home(environ: Mapping[str, str]) -> str | None:
    """The user's home folder, when HOME is an absolute path."""
    folder = environ.get("HOME", "")
    return folder if os.path.isabs(folder) else None


def _variable_of(option: Option, environ: Mapping[str, str]) -> str | None:
    """Find the variable that sets an option: ours, else the one that others read too."""
    given = [name for name in option.variables if name in environ]
    if len({environ[name] for name in given}) > 1:
        raise ConfigError(f"{' and '.join(given)}: expected one value for {option.name}, got two")
    if given:
        return given[0]
    return option.variable if option.variable and option.variable in environ else None


def _check_names(environ: Mapping[str, str]) -> None:
    """Refuse QUERN_SECTION_KEY with an unknown key, and what is nearly an option's variable."""
    valid = [name for option in (*OPTIONS, *REMOVED) for name in option.variables]
    for name in sorted(environ):
        if not name.startswith("QUERN_") or name in valid or name in _OURS:
            continue
        section = name.split("_")[1].lower()
        if section == "repository":
            raise ConfigError(f"{name}: a repository is described in a file only, in its [repository:NAME] section")
        if section in sections():
            of_section = [variable for variable in valid if variable.startswith(f"QUERN_{section.upper()}_")]
            raise ConfigError(f"{name}: unknown option{hint(name, of_section)}")
        near = nearest(name, valid, 0.9)
        if near:
            raise ConfigError(f"{name}: unknown option; did you mean {near}?")
