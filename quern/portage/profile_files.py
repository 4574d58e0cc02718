"""The files of one profile folder that hold package atoms: their lines, and what Portage would skip in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from quern.errors import ProfileError, display
from quern.portage import atom, reading

# PMS 5.2: files whose lines begin with an atom (a - before it takes an inherited line back in package.mask).
_ATOM_FILES = (
    "package.mask",
    "package.unmask",
    "package.use",
    "package.use.force",
    "package.use.mask",
    "package.use.stable",
    "package.use.stable.force",
    "package.use.stable.mask",
    "package.accept_keywords",
    "package.keywords",
    "package.license",
    "package.properties",
    "package.bashrc",
)

_READ = ("package", "use.", "make.defaults", "parent", "eapi", "profile.bashrc")  # how the names of the others begin
# and those of which only Portage reads the lines
_OTHER_FILES = ("make.defaults", "package.env")
# a USE flag on each line (PMS 5.2.7); a - before it takes an inherited one back
_FLAG_FILES = ("use.mask", "use.force", "use.stable", "use.stable.mask", "use.stable.force")

_LAST_PROVIDED_EAPI = 6  # PMS 5.2.6: package.provided is gone from EAPI 7 on
_LAST_EAPI = 9


class Line(NamedTuple):
    """One line of a file that says something, and its place FILE:LINE."""

    place: str
    text: str


def lines(file: Path) -> list[Line]:
    """Read a file or a folder of files as Portage does: without comments, with single spaces. Absent: no lines."""
    return [line for path in _files(file) for line in _lines_of(path)]


def is_read(name: str) -> bool:
    """Whether Portage reads what is called so in a folder that stands for a file (portage.util.grabfile)."""
    return name[0] != "." and name[-1] != "~"


def eapi(folder: Path, default: str) -> int:
    """Read the EAPI of a profile folder. Raises ProfileError for one there is not."""
    file = folder / "eapi"
    text = default
    if file.exists():
        text = reading.text(file).split("\n")[0].strip()
    if not (text.isascii() and text.isdigit() and int(text) <= _LAST_EAPI):
        raise ProfileError(f"{display(file)}: expected an EAPI from 0 to {_LAST_EAPI}, got {text!r}")
    return int(text)


def check(folder: Path, folder_eapi: int) -> None:
    """Check every line that must be an atom. Raises ProfileError for the first that Portage would skip."""
    if (folder / "packages").is_dir():
        raise ProfileError(f"{display(folder / 'packages')}: expected a file, got a folder")
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(_READ):
            _check_link(entry)
    of_eapi = partial(atom.problem, eapi=folder_eapi)
    for line in lines(folder / "packages"):
        if line.text != "-*":
            _check(line, line.text.removeprefix("-").removeprefix("*"), of_eapi)
    for name in _ATOM_FILES:
        for line in lines(folder / name):
            word = line.text if name in ("package.mask", "package.unmask") else line.text.split()[0]
            _check(line, word.removeprefix("-"), of_eapi)
            if name.startswith("package.use"):
                _check_flags(line, line.text.split()[1:])
    for name in _FLAG_FILES:
        for line in lines(folder / name):
            _check_flags(line, [line.text])
    _check_provided(folder / "package.provided", folder_eapi)
    for path in (path for name in _OTHER_FILES for path in _files(folder / name)):
        _check_text(reading.text(path), display(path))


def _check_text(text: str, place: str) -> None:
    if "\0" in text:  # what is built would get no environment with it
        raise ProfileError(f"{place}: expected text, got a NUL byte")


def _check_flags(line: Line, words: Iterable[str]) -> None:
    for word in words:
        if not atom.is_flag(word.removeprefix("-")):
            raise ProfileError(f"{line.place}: {word!r} is no USE flag: expected FLAG or -FLAG")


def _check_provided(file: Path, folder_eapi: int) -> None:
    provided = lines(file)
    if provided and folder_eapi > _LAST_PROVIDED_EAPI:
        raise ProfileError(
            f"{display(file)}: Portage ignores package.provided in EAPI {folder_eapi}; "
            f"write {_LAST_PROVIDED_EAPI} into {display(file.parent / 'eapi')}"
        )
    for line in provided:
        _check(line, line.text.removeprefix("-"), atom.problem_of_version)


def _check(line: Line, word: str, problem: Callable[[str], str | None]) -> None:
    reason = problem(word)
    if reason:
        raise ProfileError(f"{line.place}: {word!r} is no package atom: {reason}")


def _files(path: Path) -> Iterator[Path]:
    """Give the files of a file or folder."""
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            if is_read(entry.name):
                yield from _files(entry)
    elif path.exists():
        yield path
    else:
        _check_link(path)


def _check_link(path: Path) -> None:
    """Raise ProfileError for a link that leads nowhere: Portage takes it for an empty file."""
    if path.is_symlink() and not path.exists():
        raise ProfileError(f"{display(path)}: a link to {path.readlink()}, which is not there")


def _lines_of(file: Path) -> Iterator[Line]:
    where = display(file)
    for number, raw in enumerate(reading.text(file).split("\n"), start=1):
        _check_text(raw, f"{where}:{number}")
        words = raw.split()
        comment = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
        if words[:comment]:
            yield Line(f"{where}:{number}", " ".join(words[:comment]))
