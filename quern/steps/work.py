"""Folders that quern writes to: made so that nobody else can write there, and refused where somebody else could.

And those whose names would be taken for something else by what builds in them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from quern.errors import BuildError, DriverError, spelled

FOREIGN = "{path} belongs to someone else, in a folder that everybody may write to; set {option} to a folder of yours"


def claim(work: Path) -> None:
    """Make the work folder, for us alone; from here on nothing that this process makes can be written to by others.

    Set-id files and devices that a build leaves there are for nobody else, and Portage lets its group write.
    Raises DriverError if it is not ours, in a place where everybody may write, as in /tmp, and BuildError if nothing
    can be built there.
    """
    check_path(work, "[build] workdir")
    mask()
    check_owner(work, "[build] workdir")
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_owner(work, "[build] workdir")  # whoever was quicker than we
    if os.geteuid() in (0, work.stat().st_uid):
        work.chmod(0o700)  # it may have been there


def check_owner(folder: Path, option: str) -> None:
    """Raise DriverError, which names `option`, if somebody else's folder or link is where everybody may write.

    That is on the way to `folder`, which need not be there.
    """
    for path in _way(folder):
        if path.parent.stat().st_mode & 0o002 and path.lstat().st_uid not in (0, os.geteuid()):
            raise DriverError(FOREIGN.format(path=path, option=option))


def _way(folder: Path) -> Iterator[Path]:
    """What is there of the path to `folder` and of where links lead it, from the top."""
    for path in dict.fromkeys((folder, Path(os.path.realpath(folder)))):
        yield from (each for each in reversed((path, *path.parents[:-1])) if os.path.lexists(each))


def mask() -> int:
    """Have this process make nothing that others can write to; returns its umask, otherwise the user's."""
    value = os.umask(0o022) | 0o022
    os.umask(value)
    return value


def check_folders(folders: Iterable[Path]) -> None:
    """Raise BuildError if one of our folders is none any more, after what a build could write there had its turn.

    Confined, it can write nowhere else; but through a link in the place of a folder quern itself would, for it.
    """
    for folder in folders:
        if folder.is_symlink() or not folder.is_dir():
            raise BuildError(f"{folder} is no folder any more: a package that was built has removed or replaced it")


def take_over(folder: Path) -> None:
    """Have files made there belong to this user's own group: no other is known where an ordinary user is confined."""
    if folder.stat().st_gid != os.getegid() and os.geteuid() != 0:
        with suppress(PermissionError):  # of a file system that decides itself
            os.chown(folder, -1, os.getegid())
            folder.chmod(0o755)  # without the bit that hands the group down


def check_path(folder: Path, option: str) -> None:
    """Refuse a folder to build in whose path make, configure or Portage would take for several words, or for code.

    `option` is what sets another one, for the message.
    """
    _check_characters(folder, r"[^\w/.,+@-]", option)


def check_sources(distfiles: Path) -> None:
    """Refuse a folder of sources whose path no make.conf can hold: varexpand of Portage makes something else of it."""
    _check_characters(distfiles, r"[\"'$`\\\ud800-\udfff]", "[portage] distfiles")


def _check_characters(folder: Path, odd: str, option: str) -> None:
    if found := re.search(odd, str(folder)):
        where, what = spelled(str(folder)), spelled(found[0])
        raise BuildError(f"{where}: '{what}' in its path would end a build in its middle; set {option}")
