"""The one order and the one view in which a tree is read, so that its digest and its tar cannot disagree.

What depends on the machine and not on the content is left out here: times, sockets, the owner when an ordinary user
built the tree, attributes that the host's file system or security module put there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterator
from typing import NamedTuple

from . import WorkerError

CHUNK = 1 << 20

# The mode of the root folder itself comes from quern's mkdir, thus from the user's umask; no package owns it.
ROOT_MODE = 0o755


class Entry(NamedTuple):
    """One thing in a tree."""

    name: bytes  # below the root, b"" for the root itself
    status: os.stat_result
    first: bytes | None  # a file met before under this name: what follows is a hard link to it

    @property
    def mode(self) -> int:
        """Permission bits, set-id and sticky bits included."""
        return stat.S_IMODE(self.status.st_mode) if self.name else ROOT_MODE

    @property
    def owner(self) -> tuple[int, int]:
        """uid and gid in the image. An ordinary user's own files stand for root's: nothing else could be built."""
        if not self.name or os.geteuid() != 0:
            return 0, 0
        return self.status.st_uid, self.status.st_gid


def walk(root: bytes, skip: Container[bytes] = frozenset()) -> Iterator[Entry]:
    """Everything in `root`, the root first, each folder before its content, names in the order of their bytes.

    `skip` holds names below the root to leave out with all that is in them. Symlinks are never followed. Memory grows
    with the number of hard links, not with the content.
    """
    firsts: dict[tuple[int, int], bytes] = {}
    pending = [b""]
    while pending:
        name = pending.pop()
        path = os.path.join(root, name) if name else root
        status = os.lstat(path)
        first = None
        if stat.S_ISDIR(status.st_mode):
            below = (os.path.join(name, child) for child in os.listdir(path))
            pending += sorted((child for child in below if child not in skip), reverse=True)
        elif stat.S_ISSOCK(status.st_mode):
            continue  # tar has no such thing, and nobody listens in an image
        elif stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            first = firsts.setdefault((status.st_dev, status.st_ino), name)
        yield Entry(name, status, first if first != name else None)


def xattrs(path: bytes) -> dict[str, bytes]:
    """The extended attributes that belong to the content: file capabilities and `user.*`.

    Not the rest: SELinux labels, ACLs inherited from the work folder's parents and overlayfs marks (xattr(7)) say
    where the tree was built.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENOSYS):
            return {}
        raise
    kept = sorted(filter(is_content, names))
    for name in kept:
        if "=" in name or not name.isprintable():
            raise WorkerError(f"{os.fsdecode(path)}: extended attribute {name!r} cannot be written to a tar file")
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in kept}


def is_content(name: str) -> bool:
    """Whether the extended attribute `name` belongs to the content."""
    return name == "security.capability" or (name.startswith("user.") and not name.startswith("user.overlay."))


def content(path: bytes, size: int) -> Iterator[bytes]:
    """The `size` bytes of a regular file, in pieces; WorkerError if it changes meanwhile."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as stream:
        left = size
        while piece := stream.read(min(left + 1, CHUNK)):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left:
        raise WorkerError(f"{os.fsdecode(path)} changed while it was read")
