"""Portage's database of merged packages (PMS appendix C, portage(5) /var/db/pkg), and what else merging leaves."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Collection, Iterator

from . import regular
from .links import real_folder
from .removal import remove_tree

DATABASE = "var/db/pkg"
MADE = "made.json"  # beside the root: {path in it: cpv of the package a phase of which has made it}
# what env-update makes of the packages' files in /etc/env.d (env-update(1)); of no use where there are none
FROM_ENV_D = ("etc/profile.env", "etc/csh.env", "etc/ld.so.conf", "etc/env.d", "etc/environment.d")
# what a merge leaves in a root besides the packages' own files
LEFTOVERS = (
    "var/lib/portage",
    "var/cache/edb",
    "var/lib/gentoo/news",
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/portage/savedconfig",
    "tmp/portage",
    "var/tmp/portage",
    "usr/lib/debug/.build-id",
)
# folders that it makes, where they are nobody's and empty
EMPTIED = ("etc/portage", "etc/ld.so.conf.d", "usr/lib/debug", "tmp", "var/tmp", "var/lib", "var/cache", "etc")


def owners(root: str) -> dict[str, str]:
    """The cpv that owns each file or link in `root`, and each file of its database entry, by the path's real name.

    Of files that no package has installed, it is the package a phase of which has made them (MADE).

    A package may have installed `/lib/x` where /lib is a link to usr/lib. Of two owners, of one of Python's caches say,
    the last counts.
    """
    found: dict[str, str] = {}
    folders: dict[bytes, bytes] = {}
    found.update(_made(root))
    for category, name, folder in _entries(root):
        for path in _files(folder):
            above, base = os.path.split(path)
            if above not in folders:
                real = real_folder(os.fsencode(root), above)
                folders[above] = above.strip(b"/") if real is None else real
            found[os.fsdecode(os.path.join(b"/", folders[above], base))] = f"{category}/{name}"
        entry = f"/{DATABASE}/{category}/{name}"
        found.update({f"{entry}/{file}": f"{category}/{name}" for file in os.listdir(folder)})
    return found


def _made(root: str) -> dict[str, str]:
    try:
        made = json.loads(regular.text(os.path.join(os.path.dirname(os.path.abspath(root)), MADE)))
    except (OSError, ValueError, RecursionError):  # phases of strangers could write there too
        return {}
    return {str(path): str(cpv) for path, cpv in made.items()} if isinstance(made, dict) else {}


def described(root: str, names: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """What the database of `root` says of each package, by cpv: its files `names`, empty where there is none."""
    return {
        f"{category}/{package}": {name: " ".join(_read(folder, name).split()) for name in names}
        for category, package, folder in _entries(root)
    }


def finish(root: str) -> None:
    """Remove what Portage leaves in `root` besides what packages have installed and phases have made."""
    contents = [_contents(folder) for _, _, folder in _entries(root)]
    has_environment = any(b" /etc/env.d/" in text for text in contents)
    for name in LEFTOVERS if has_environment else LEFTOVERS + FROM_ENV_D:
        path = os.path.join(root, name)
        if _is_inside(root, path) and os.path.lexists(path):
            remove_tree(os.fsencode(path))
    for name in EMPTIED:
        path, line = os.path.join(root, name), b"dir /%s\n" % os.fsencode(name)
        if _is_inside(root, path) and not any(line in text for text in contents):
            with contextlib.suppress(OSError):  # not there, or something of a package's is in it
                os.rmdir(path)


def _is_inside(root: str, path: str) -> bool:
    """Whether no link on the way to `path` leads out of `root`: an image's /tmp may point to /var/tmp, ours here."""
    top = os.path.realpath(root)
    return os.path.commonpath([top, os.path.realpath(os.path.dirname(path))]) == top


def _files(folder: str) -> Iterator[bytes]:
    """The absolute paths of the files and links of a database entry."""
    for line in _contents(folder).split(b"\n"):  # no other character ends a line
        if line.startswith(b"obj "):
            yield line[4:].rsplit(b" ", 2)[0]
        elif line.startswith(b"sym "):
            yield line[4:].rsplit(b" -> ", 1)[0]


def _entries(root: str) -> Iterator[tuple[str, str, str]]:
    """(category, package-version, folder) of every finished entry, sorted; -MERGING- ones are a merge cut short.

    Raises PermissionError where this user may not look for the database: that is not the same as that there is none.
    """
    database = os.path.join(root, DATABASE)
    if not _is_folder(database) or not _is_inside(root, os.path.join(database, "category")):
        return
    for category in _folders(database):
        for name in _folders(os.path.join(database, category)):
            if not name.startswith("-MERGING-"):
                yield category, name, os.path.join(database, category, name)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except PermissionError:
        raise
    except OSError:
        return False


def _folders(path: str) -> list[str]:
    """The names of the folders there, sorted; no links, which may lead anywhere."""
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != ".")


def _read(folder: str, name: str) -> str:
    return _read_bytes(os.path.join(folder, name)).decode(errors="replace")


def _contents(folder: str) -> bytes:
    return _read_bytes(os.path.join(folder, "CONTENTS"))


def _read_bytes(path: str) -> bytes:
    try:
        return regular.content(path)
    except FileNotFoundError:
        return b""
