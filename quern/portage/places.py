"""Which line of a profile says something of a package: the last one that does, since later ones win (PMS 5.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from quern.portage import profile_files
from quern.portage.plan import package_name
from quern.portage.profile_files import Line

# PMS 5.2.11: what forces or masks a flag has the last word
_OF_PACKAGES = (
    "package.use.mask",
    "package.use.force",
    "package.use.stable.mask",
    "package.use.stable.force",
    "package.use",
)
_OF_ALL = ("use.mask", "use.force", "use.stable.mask", "use.stable.force")
_ATOM = re.compile(r"[-*!]*([<>=~]*)([^:\[]+)")


def of_package(name: str, folders: Sequence[Path]) -> str:
    """FILE:LINE where the profile of `folders` (the stack, parents first) asks for the package; empty if nowhere."""
    for folder in reversed(folders):
        for line in reversed(profile_files.lines(folder / "packages")):
            if _name(line.text) == name:
                return line.place
    return ""


def of_flag(name: str, flag: str, folders: Sequence[Path]) -> str:
    """FILE:LINE where a USE flag of the package `name` is switched; empty if the ebuild itself decides it."""
    for folder in reversed(folders):
        for line in _lines_on_flags(name, folder):
            if flag in _flags(line.text):
                return line.place
    return ""


def _lines_on_flags(name: str, folder: Path) -> Iterator[Line]:
    for file in _OF_PACKAGES:
        yield from (
            line for line in reversed(profile_files.lines(folder / file)) if _name(line.text.split()[0]) == name
        )
    for file in (*_OF_ALL, "make.defaults"):
        yield from reversed(profile_files.lines(folder / file))


def _flags(text: str) -> set[str]:
    """The flags that a line may be about; of USE_EXPAND variables with the variable's name before them (PMS 11.1.1)."""
    variable, equals, value = text.partition("=")
    words = [word.strip("\"'").lstrip("-") for word in (value if equals else text).split()]
    prefix = f"{variable.removeprefix('export ').strip().lower()}_" if equals else ""
    return {*words, *(f"{prefix}{word}" for word in words)}


def _name(text: str) -> str:
    """`category/package` of an atom as it stands in a profile, with the signs that may be before it."""
    match = _ATOM.match(text)
    if match is None:
        return ""
    return package_name(match[2].rstrip("*")) if match[1] else match[2]
