"""Verb `compare`: where two trees differ, and whose the files are."""

from __future__ import annotations

import filecmp
import os
import stat
from collections.abc import Sequence
from typing import Any

from .vdb import owners
from .walk import Entry, walk, xattrs

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
}


def compare(one: str, other: str, databases: Sequence[str]) -> dict[str, Any]:
    """{"differences": [{"path", "package", "what"}, ...]} of two trees, in order, without times.

    `package` is the cpv that owns the path in the package database of one of the roots `databases`, "" for none. Of a
    folder that only one tree has, its content is not told.
    """
    tops = [os.fsencode(one), os.fsencode(other)]
    first, second = ({entry.name: entry for entry in walk(top)} for top in tops)
    packages: dict[str, str] = {}
    for root in databases:
        packages = owners(root) | packages
    found: list[dict[str, str]] = []
    for name in sorted(first.keys() | second.keys()):
        missing = (name in first) != (name in second)
        folder = os.path.dirname(name)
        if missing and (folder not in first or folder not in second):
            continue
        what = _difference(tops, first.get(name), second.get(name))
        if what:
            path = "/" + os.fsdecode(name)
            found.append({"path": path, "package": packages.get(path, ""), "what": what})
    return {"differences": found}


def _difference(tops: Sequence[bytes], one: Entry | None, other: Entry | None) -> str:
    """In words, first what the first tree has; empty if nothing differs."""
    if one is None or other is None:
        return "missing in the second" if other is None else "only in the second"
    kinds = [stat.S_IFMT(entry.status.st_mode) for entry in (one, other)]
    if kinds[0] != kinds[1]:
        return f"{KINDS[kinds[0]]}, then {KINDS[kinds[1]]}"
    paths = [os.path.join(top, entry.name) for top, entry in zip(tops, (one, other))]
    said = []
    if one.mode != other.mode:
        said.append(f"mode {one.mode:04o}, then {other.mode:04o}")
    if one.owner != other.owner:
        said.append("owner {}:{}, then {}:{}".format(*one.owner, *other.owner))
    if xattrs(paths[0]) != xattrs(paths[1]):
        said.append("attributes")
    if one.first != other.first:
        said.append("hard link")
    elif _differs(kinds[0], paths, (one, other)):
        said.append("content" if kinds[0] == stat.S_IFREG else "target" if kinds[0] == stat.S_IFLNK else "number")
    return ", ".join(said)


def _differs(kind: int, paths: Sequence[bytes], entries: tuple[Entry, Entry]) -> bool:
    """Whether two things of the same kind hold something else."""
    one, other = (entry.status for entry in entries)
    if kind == stat.S_IFLNK:
        return os.readlink(paths[0]) != os.readlink(paths[1])
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        return one.st_rdev != other.st_rdev
    if kind != stat.S_IFREG or entries[0].first is not None:
        return False
    return not filecmp.cmp(paths[0], paths[1], shallow=False)
