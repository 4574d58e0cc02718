"""Reading a configuration file: which text stands for which option, and on which line.

A file is INI in the dialect of configparser without interpolation, read by ourselves so that every message has its
line: `key = value`, full-line comments with ; or #, a line indented deeper than its key continues the value.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from quern.config.option import Option
from quern.config.options import OPTIONS, REMOVED, REPOSITORY, options_of, sections
from quern.config.portage import is_repository_name
from quern.config.values import plain
from quern.errors import ConfigError, display, hint


class Entry(NamedTuple):
    """The text of one option, and where it was found: FILE:LINE or the variable's name."""

    text: str
    origin: str


Entries = dict[tuple[str, str], Entry]  # by section and key
SECTION = ""  # the key under which an Entry tells where the section itself stands


def read_file(path: Path) -> Entries | None:
    """Read one file, or give None when there is no such file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{display(path)}: cannot be read: {error.strerror}") from None
    where = display(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{where}:{line}: expected UTF-8 text, got byte 0x{data[error.start]:02x}") from None
    return _Reader(where).read(text)


class _Reader:
    """The state of reading one file: the section and the option that a line would continue."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.number = 0
        self.entries: Entries = {}
        self.sections: dict[str, int] = {}
        self.lines: dict[tuple[str, str], int] = {}
        self.section: str | None = None
        self.option: Option | None = None
        self.indent = 0

    def read(self, text: str) -> Entries:
        for self.number, raw in enumerate(text.split("\n"), start=1):
            line = raw.removesuffix("\r")
            if not plain(line.replace("\t", " ")):
                raise self.error("expected text without control characters")
            bare = line.strip()
            if bare and bare[0] not in ";#":
                self.take(line, bare)
        return self.entries

    def take(self, line: str, bare: str) -> None:
        """Take one line that is neither empty nor a comment."""
        indent = len(line) - len(line.lstrip())
        if self.option and indent > self.indent:
            self.continue_value(bare)
        elif bare.startswith("["):
            self.open_section(bare)
        else:
            self.indent = indent
            self.set_option(bare)

    def open_section(self, bare: str) -> None:
        name = bare[1:-1].strip()
        if not bare.endswith("]") or not name or "]" in name:
            raise self.error(f"expected [section], got {bare!r}")
        if name in self.sections:
            raise self.error(f"section [{name}] stands on line {self.sections[name]} already")
        self.check_section(name)
        self.sections[name] = self.number
        self.entries[name, SECTION] = Entry("", f"{self.where}:{self.number}")
        self.section, self.option = name, None

    def check_section(self, name: str) -> None:
        if name.startswith(REPOSITORY):
            repository = name.removeprefix(REPOSITORY)
            if not is_repository_name(repository) or repository in ("DEFAULT", "starter"):
                reason = "is quern's own" if repository == "starter" else "is no name for a repository"
                raise self.error(f"section [{name}]: {repository!r} {reason}")
        elif name not in sections():
            raise self.error(f"unknown section [{name}]{hint(name, (*sections(), 'repository:NAME'), '[{}]')}")

    def set_option(self, bare: str) -> None:
        key, equals, value = (part.strip() for part in bare.partition("="))
        if self.section is None:
            raise self.error(f"expected a [section] before the first option, got {bare!r}")
        if not equals or not key:
            raise self.error(f"expected `key = value`, got {bare!r}")
        option = self.find(key.lower())
        place = (self.section, option.key)
        if place in self.lines:
            raise self.error(f"{self.section}.{option.key} stands on line {self.lines[place]} already")
        self.lines[place] = self.number
        self.option = option
        self.entries[place] = Entry(value, f"{self.where}:{self.number}")

    def continue_value(self, bare: str) -> None:
        assert self.section is not None
        assert self.option is not None
        place = (self.section, self.option.key)
        if not self.option.multiline:
            raise self.error(
                f"{self.section}.{self.option.key}: expected one line, got {bare!r} as its continuation"
                " (an indented line continues the option above)"
            )
        before = self.entries[place]
        self.entries[place] = Entry(f"{before.text}\n{bare}".strip(), before.origin)

    def find(self, key: str) -> Option:
        section = str(self.section)
        known = options_of(section)
        for option in (*known, *(option for option in REMOVED if option.section == section)):
            if key == option.key or key in option.aliases:
                return option
        elsewhere = [option.name for option in OPTIONS if option.key == key]
        near = hint(key, [option.key for option in known], section + ".{}")
        if elsewhere:
            near = f"; did you mean {' or '.join(elsewhere)}?"
        raise self.error(f"{section}.{key}: unknown option{near}")

    def error(self, message: str) -> ConfigError:
        return ConfigError(f"{self.where}:{self.number}: {message}")
