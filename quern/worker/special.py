"""What may be at a path in place of a file: who reads a pipe waits for ever, and some devices have no end."""

from __future__ import annotations

import os
import stat

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def instead(path: str | os.PathLike[str]) -> str:
    """What is at `path` that is no file, in words; empty for a file, for nothing, and for /dev/null, which is empty."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # whoever opens it will be told why
        return ""
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3):
        return ""
    return KINDS.get(stat.S_IFMT(status.st_mode), "")
