"""Which files of a root the phases of packages have made: those that no package has installed.

A root is looked at before and after the phases of each package. A folder that has not changed since (inode and ctime,
which nobody can set) has the names that it had: only what changed is read again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container
from typing import NamedTuple

from .removal import remove_tree
from .vdb import DATABASE, MADE

TICK = 50_000_000  # ns: what changes again so soon may have the same ctime (10 ms: CONFIG_HZ=100)


class _Folder(NamedTuple):
    """What was found in a folder: paths below the root; `stamp` is None where it would not show another change."""

    stamp: tuple[int, int] | None
    files: frozenset[bytes] = frozenset()
    folders: frozenset[bytes] = frozenset()


NOTHING = _Folder(None)


class Made:
    """The files that phases have made in `root`, by their paths in it, with their packages."""

    def __init__(self, root: str) -> None:
        self._root = os.fsencode(root)
        self._folders: dict[bytes, _Folder] = {}
        self._by: dict[bytes, str] = {}

    def look(self) -> list[bytes]:
        """Paths below the root of the files that are new since the last look, but those of the package database."""
        found: dict[bytes, _Folder] = {}
        new: list[bytes] = []
        pending = [b""]
        while pending:
            name = pending.pop()
            former = self._folders.get(name, NOTHING)
            found[name] = now = self._one(name, former)
            new += now.files - former.files
            pending += now.folders
        self._folders = found
        return new

    def _one(self, name: bytes, former: _Folder) -> _Folder:
        path = os.path.join(self._root, name)
        now, status = time.time_ns(), os.lstat(path)
        stamp = (status.st_ino, status.st_ctime_ns)
        if stamp == former.stamp:
            return former
        files, folders = set[bytes](), set[bytes]()
        with os.scandir(path) as entries:
            for entry in entries:
                (folders if entry.is_dir(follow_symlinks=False) else files).add(os.path.join(name, entry.name))
        is_settled = now - status.st_ctime_ns > TICK
        return _Folder(stamp if is_settled else None, frozenset(files), frozenset(folders - {os.fsencode(DATABASE)}))

    def note(self, cpv: str, installed: Container[bytes]) -> None:
        """Look, and note that the phases of the package `cpv` have made what is new, but for the files `installed`."""
        for name in self.look():
            if name not in installed:
                self._by[name] = cpv

    def write(self) -> None:
        """Write down beside the root what of that is still there (vdb.MADE)."""
        if self._by:
            self.look()
        there = {name for folder in self._folders.values() for name in folder.files}
        made = {"/" + os.fsdecode(name): cpv for name, cpv in self._by.items() if name in there}
        target = os.path.join(os.path.dirname(os.fsdecode(self._root)), MADE)
        remove_tree(os.fsencode(target))  # a phase may have put a link or a pipe there
        with open(target, "x", encoding="utf-8") as file:
            json.dump(made, file, sort_keys=True)
