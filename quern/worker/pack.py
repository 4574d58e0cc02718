"""Verb `pack`: a tree as one tar, not compressed, whose bytes depend on the tree alone.

Entries come in the order of walk.py, the root as `./` first, in pax format (POSIX.1-2001): owners as numbers only,
extended attributes as SCHILY.xattr.NAME, any name and size. Every time is `epoch`: most files of an image carry the
time of their build, and the few that carry an older one would make the bytes depend on who installed them. (The .pyc
files are of the unchecked-hash kind and do not look at times.)
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

from . import WorkerError
from .walk import Entry, content, walk, xattrs

TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def pack(write: Callable[[bytes], object], root: str, epoch: int) -> dict[str, Any]:
    """Give the tar of the tree `root` to `write`, piece by piece; `epoch` is in seconds.

    Returns {"files", "size"}: the number of entries, and the size of the tar in bytes.
    """
    if epoch < 0:
        raise WorkerError(f"epoch {epoch}: expected seconds since 1970")
    files = size = 0
    for entry in entries(root, epoch, "./"):
        files += 1
        for piece in entry:
            write(piece)
            size += len(piece)
    # Two empty blocks end a tar, filled up to a record as every tar does.
    end = bytes(2 * tarfile.BLOCKSIZE + -(size + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE)
    write(end)
    return {"files": files, "size": size + len(end)}


def entries(root: str, epoch: int, prefix: str) -> Iterator[Iterator[bytes]]:
    """The entries of the tar of the tree `root`, each in pieces, which are to be read before the next one.

    `epoch` is in seconds; `prefix` is what names begin with. The end of the tar is missing.
    """
    top = os.fsencode(root)
    for entry in walk(top):
        yield _record(top, entry, epoch, prefix)


def _record(root: bytes, entry: Entry, epoch: int, prefix: str) -> Iterator[bytes]:
    """Header, content and padding of one entry."""
    path = os.path.join(root, entry.name)
    info = _info(path, entry, epoch, prefix)
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.size:
        yield from content(path, info.size)
        yield bytes(-info.size % tarfile.BLOCKSIZE)


def _info(path: bytes, entry: Entry, epoch: int, prefix: str) -> tarfile.TarInfo:
    status = entry.status
    info = tarfile.TarInfo(prefix + _text(entry.name))
    info.type = TYPES[stat.S_IFMT(status.st_mode)]
    info.mode, info.mtime = entry.mode, epoch
    info.uid, info.gid = entry.owner
    if entry.first is not None:
        info.type, info.linkname = tarfile.LNKTYPE, prefix + _text(entry.first)
        return info
    info.pax_headers = {f"SCHILY.xattr.{name}": _text(value) for name, value in xattrs(path).items()}
    if info.type == tarfile.REGTYPE:
        info.size = status.st_size
    elif info.type == tarfile.SYMTYPE:
        info.linkname = _text(os.readlink(path))
    elif info.type in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info


def _text(value: bytes) -> str:
    """Bytes in the form that tarfile turns back into the same bytes, whatever they are and whatever the locale."""
    return value.decode("utf-8", "surrogateescape")
