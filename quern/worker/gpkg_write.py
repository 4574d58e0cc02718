"""Write a binary package anew, as a gpkg (GLEP 78) whose bytes depend on what it holds alone: the same content, the
same file, whenever, wherever and by whomever it was built.

    PF-1/gpkg-1              empty; says the format
    PF-1/metadata.tar.gz     sorted by name, without what says when and where it was built (metadata.py)
    PF-1/image.tar.gz        folders before their content, sorted; owners as numbers; attributes as SCHILY.xattr.NAME
    PF-1/Manifest            sizes and digests of the three (GLEP 74)

Every time is one constant. What is read is a stranger's: nothing of it is unpacked.

Compressed with gzip: a part without compression Portage takes for one that is compressed as its BINPKG_COMPRESS says.
Level 1, because a package is read once or twice.
"""

from __future__ import annotations

import copy
import os
import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

from . import WorkerError, holes, owners
from .accounts import Numbers
from .content import Content
from .gpkg import XATTR, BinaryPackage, below
from .gpkg_container import LEVEL, Container, compressed, header, metadata_tar
from .metadata import BUILD_ID, normalised
from .walk import is_content

LARGEST = 32 << 30  # bytes of all files of a package
MOST = 5_000_000  # files
WORD = re.compile(r"[A-Za-z0-9+_][A-Za-z0-9+_.-]*")  # PMS 3.1: names of packages, and of files of the metadata
KINDS = (tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
REFUSED = "what is built here takes root, or build.driver = docker; files of an ordinary user stand for root's"


def identity() -> str:
    """What decides on the bytes besides the content: part of every key."""
    return f"gzip zlib-{zlib.ZLIB_RUNTIME_VERSION} level {LEVEL}"


def write(
    package: BinaryPackage,
    target: IO[bytes],
    spool: IO[bytes],
    epoch: int,
    by_root: bool = True,
    known: Numbers | None = None,
) -> None:
    """Write `package` to the empty file `target`; `spool` is an empty file for what has to be put in order.

    `by_root` says whether root has built it, or else this user, whose files stand for root's; `known` are the owners
    that files may have, besides those of which the package has the accounts itself. Raises WorkerError for files of
    others, and for what an ordinary user's cannot stand for; what reading a damaged package raises (gpkg.DAMAGED)
    passes.
    """
    pf = package.metadata.get("PF", b"").decode(errors="replace").strip()
    if not WORD.fullmatch(pf) or not all(map(WORD.fullmatch, package.metadata)):
        raise ValueError("its metadata is not that of a package")
    contents = _Reading(spool, by_root).all_of(package.image, package.prefix)
    if known is not None:
        owners.check(contents, spool, known)
    metadata = normalised(package.metadata, epoch, _size(contents))
    container = Container(target, f"{pf}-{BUILD_ID}", epoch)
    container.add("gpkg-1", ())
    container.add("metadata.tar.gz", compressed(metadata_tar(metadata, epoch)))
    container.add("image.tar.gz", compressed(_image_tar(contents, spool, epoch)))
    container.close()


class _Reading:
    """What has been read of an image, by name; the content of files is in `spool`."""

    def __init__(self, spool: IO[bytes], by_root: bool) -> None:
        self.spool = spool
        self.by_root = by_root
        self.found: dict[bytes, Content] = {}

    def all_of(self, tar: tarfile.TarFile, prefix: str) -> dict[bytes, Content]:
        """Everything in an image, the folders above included."""
        for member in tar:
            name = below(member.name, prefix)
            if name is None:
                continue
            if name in self.found and not (member.isdir() and self.found[name].info.isdir()):
                raise ValueError(f"{os.fsdecode(name)!r} is in it twice")
            if len(self.found) >= MOST or self.spool.tell() + max(member.size, 0) > LARGEST:
                raise ValueError(f"it has more than {MOST} files or {LARGEST >> 30} GiB")
            self.found[name] = self._link(member, prefix) if member.islnk() else self._content(tar, member)
        while tar.fileobj and tar.fileobj.read(1 << 20):
            pass  # to the end, where a compressor's check sum is
        holes.finish(self.spool)
        for name in [*self.found]:
            _folders_above(name, self.found)
        return self.found

    def _link(self, member: tarfile.TarInfo, prefix: str) -> Content:
        """Another name of a file that was read before."""
        first = below(member.linkname, prefix)
        if first not in self.found or not self.found[first].info.isreg():
            raise ValueError(f"{member.name!r} is a hard link to {member.linkname!r}, which is not in it")
        return self.found[first]._replace(first=self.found[first].first or first)

    def _content(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Content:
        info = tarfile.TarInfo()
        info.uid, info.gid = self._owner(member)
        info.mode = stat.S_IMODE(member.mode)
        info.pax_headers = self._attributes(member)
        start = self.spool.tell()
        if member.isreg():
            content = tar.extractfile(member)
            assert content is not None
            while piece := content.read(1 << 20):
                holes.write(self.spool, piece)
            info.size = self.spool.tell() - start
        elif member.issym():
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, member.linkname, 0o777
        elif member.type in KINDS:  # a device or a pipe is refused where it is installed, if it is
            info.type, info.devmajor, info.devminor = member.type, member.devmajor, member.devminor
        else:
            raise ValueError(f"{member.name!r} is of a kind that no file can be")
        return Content(info, start)

    def _owner(self, member: tarfile.TarInfo) -> tuple[int, int]:
        """uid and gid. An ordinary user's own files stand for root's, as in walk.py."""
        if not 0 <= member.uid < 1 << 32 or not 0 <= member.gid < 1 << 32:
            raise ValueError(f"{member.name!r} has an owner that no file can have")
        if self.by_root:
            return member.uid, member.gid
        if member.uid not in (0, os.geteuid()) or member.gid not in (0, os.getegid(), *os.getgroups()):
            raise WorkerError(f"{REFUSED}: {member.name!r} belongs to {member.uid}:{member.gid}")
        return 0, 0

    def _attributes(self, member: tarfile.TarInfo) -> dict[str, str]:
        """The extended attributes that belong to the content, as pax headers, sorted."""
        names = {key[len(XATTR) :] for key in member.pax_headers if key.startswith(XATTR)}
        if "security.capability" in names and not self.by_root:
            raise WorkerError(f"{REFUSED}: {member.name!r} has capabilities")
        return {f"{XATTR}{name}": member.pax_headers[f"{XATTR}{name}"] for name in sorted(filter(is_content, names))}


def _folders_above(name: bytes, found: dict[bytes, Content]) -> None:
    """Add the folders above `name` where the package does not name them itself."""
    while name := os.path.dirname(name):
        if name not in found:
            info = tarfile.TarInfo()
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            found[name] = Content(info)
        elif not found[name].info.isdir():
            raise ValueError(f"{os.fsdecode(name)!r} is no folder")


def _size(contents: dict[bytes, Content]) -> int:
    """The bytes of all files, each counted once, however many names it has."""
    return sum(content.info.size for content in contents.values() if not content.first)


def _image_tar(contents: dict[bytes, Content], spool: IO[bytes], epoch: int) -> Iterator[bytes]:
    top = tarfile.TarInfo("image")
    top.type, top.mode, top.mtime = tarfile.DIRTYPE, 0o755, epoch
    yield header(top)
    written: dict[bytes, str] = {}  # by the name that was read first, the name that comes first here
    for name in sorted(contents, key=lambda name: name.split(b"/")):
        content = contents[name]
        info = copy.copy(content.info)
        info.name, info.mtime = f"image/{name.decode('utf-8', 'surrogateescape')}", epoch
        first = written.setdefault(content.first or name, info.name)
        if first != info.name:
            info.type, info.linkname, info.size, info.pax_headers = tarfile.LNKTYPE, first, 0, {}
        yield header(info)
        yield from _spooled(spool, content.start, info.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _spooled(spool: IO[bytes], start: int, size: int) -> Iterator[bytes]:
    spool.seek(start)
    left = size
    while left:
        piece = spool.read(min(left, 1 << 20))
        if not piece:
            raise EOFError
        left -= len(piece)
        yield piece
    yield bytes(-size % tarfile.BLOCKSIZE)
