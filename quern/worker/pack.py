"""Verb `pack`: a tree as one compressed tar whose bytes depend on the tree alone.

Entries come in the order of walk.py, the root as `./` first, in pax format (POSIX.1-2001): owners as numbers only,
extended attributes as SCHILY.xattr.NAME, any name and size. Every time is `epoch`: most files of an image carry the
time of their build, and the few that carry an older one would make the bytes depend on who installed them. (The .pyc
files are of the unchecked-hash kind and do not look at times.)
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Any

from . import WorkerError, compress
from .walk import Entry, content, walk, xattrs

TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def pack(root: str, target: str, compression: str, epoch: int) -> dict[str, Any]:
    """Write the tree `root` to the new file `target`, and to the disk; `epoch` is in seconds.

    Returns {"digest", "size"} of the file, {"diff_id", "tar_size"} of the tar inside (as OCI image-spec calls it) and
    {"files"}, the number of entries. On an error an incomplete `target` is left.
    """
    if epoch < 0:
        raise WorkerError(f"epoch {epoch}: expected seconds since 1970")
    top = os.fsencode(root)
    with open(target, "xb") as stream:
        output = Output(stream.write)
        with compress.compressor(compression, output.write) as compressor:
            tar = Output(compressor.write)
            files = 0
            for entry in walk(top):
                files += 1
                for piece in _record(top, entry, epoch):
                    tar.write(piece)
            # Two empty blocks end a tar, filled up to a record as every tar does.
            tar.write(bytes(2 * tarfile.BLOCKSIZE + -(tar.size + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE))
        stream.flush()
        os.fsync(stream.fileno())
    return {
        "digest": output.digest,
        "size": output.size,
        "diff_id": tar.digest,
        "tar_size": tar.size,
        "files": files,
    }


class Output:
    """Counts and digests what goes by."""

    def __init__(self, sink: compress.Sink) -> None:
        self.sink = sink
        self.size = 0
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Pass `data` on."""
        self.size += len(data)
        self._sha256.update(data)
        self.sink(data)

    @property
    def digest(self) -> str:
        """sha256:HEX of all that went by."""
        return f"sha256:{self._sha256.hexdigest()}"


def _record(root: bytes, entry: Entry, epoch: int) -> Iterator[bytes]:
    """Header, content and padding of one entry."""
    path = os.path.join(root, entry.name)
    info = _info(path, entry, epoch)
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.size:
        yield from content(path, info.size)
        yield bytes(-info.size % tarfile.BLOCKSIZE)


def _info(path: bytes, entry: Entry, epoch: int) -> tarfile.TarInfo:
    status = entry.status
    info = tarfile.TarInfo("./" + _text(entry.name))
    info.type = TYPES[stat.S_IFMT(status.st_mode)]
    info.mode, info.mtime = entry.mode, epoch
    info.uid, info.gid = entry.owner
    if entry.first is not None:
        info.type, info.linkname = tarfile.LNKTYPE, "./" + _text(entry.first)
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
