"""Where a path leads inside an image: links followed as after a chroot, so that none leads out of it."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

MAX_LINKS = 40  # as the kernel's own limit, path_resolution(7)


class Followed(NamedTuple):
    """Where a path leads: the real name below the root, and what is there (`st_mode`; None: nothing)."""

    name: bytes
    mode: int | None


def follow(root: bytes, name: bytes) -> Followed:
    """Follow all links in the path `name` below `root`, the last one too; of one that loops nothing is there."""
    done: list[bytes] = []
    todo = name.split(b"/")
    links, mode = 0, _mode(root)
    while todo:
        part = todo.pop(0)
        if part in (b"", b"."):
            continue
        if mode is None or not stat.S_ISDIR(mode):  # nothing can be below it
            return Followed(b"/".join([*done, part, *todo]), None)
        if part == b"..":
            del done[-1:]
            mode = _mode(os.path.join(root, *done))
            continue
        path = os.path.join(root, *done, part)
        found = _mode(path)
        if found is not None and stat.S_ISLNK(found):
            links += 1
            if links > MAX_LINKS:
                return Followed(b"/".join([*done, part]), None)
            target = os.readlink(path)
            if target.startswith(b"/"):
                done, mode = [], _mode(root)
            todo = target.split(b"/") + todo
        else:
            done.append(part)
            mode = found
    return Followed(b"/".join(done), mode)


def real_folder(root: bytes, name: bytes) -> bytes | None:
    """Where the folder `name` really is below `root`; None if it is no folder."""
    found = follow(root, name)
    return found.name if found.mode is not None and stat.S_ISDIR(found.mode) else None


def _mode(path: bytes) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
