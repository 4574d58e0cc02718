"""The outside of a binary package that quern writes: a gpkg (GLEP 78), its parts and its Manifest (GLEP 74)."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import IO

from . import holes

LEVEL = 1
GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x04\xff"  # RFC 1952: no name, no time, fastest, system unknown
SECTION = 8 << 30  # bytes that a header of the ustar format can say


def metadata_tar(metadata: Mapping[str, bytes], epoch: int) -> Iterator[bytes]:
    """The tar of the metadata, by file name, in pieces; every time is `epoch`."""
    for name, content in sorted(metadata.items()):
        info = tarfile.TarInfo(f"metadata/{name}")
        info.size, info.mtime = len(content), epoch
        yield header(info)
        yield content + bytes(-len(content) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def header(info: tarfile.TarInfo) -> bytes:
    """The header of one member of a tar, in pax format."""
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member (RFC 1952)."""
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    checksum = size = 0
    yield GZIP_HEADER
    for piece in pieces:
        checksum, size = zlib.crc32(piece, checksum), size + len(piece)
        yield deflate.compress(piece)
    yield deflate.flush() + checksum.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")


class Container:
    """The outer tar, written to the file `target`: members are in `folder`."""

    def __init__(self, target: IO[bytes], folder: str, epoch: int) -> None:
        self.target = target
        self.folder = folder
        self.epoch = epoch
        self.rows: list[str] = []

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a member, and its line of the Manifest; its header is written last, because it says the size."""
        start, room = self.target.tell(), len(self._header(name, 0))
        self.target.write(bytes(room))
        blake2b, sha512, size = hashlib.blake2b(), hashlib.sha512(), 0
        for piece in pieces:
            blake2b.update(piece)
            sha512.update(piece)
            size += len(piece)
            holes.write(self.target, piece)
        self.target.write(bytes(-size % tarfile.BLOCKSIZE))
        end = self.target.tell()
        self.target.seek(start)
        self.target.write(self._header(name, size))
        self.target.seek(end)
        self.rows.append(f"DATA {name} {size} BLAKE2B {blake2b.hexdigest()} SHA512 {sha512.hexdigest()}\n")

    def close(self) -> None:
        """Add the Manifest, and the end of a tar."""
        self.add("Manifest", ["".join(self.rows).encode()])
        size = self.target.tell() + 2 * tarfile.BLOCKSIZE
        self.target.write(bytes(2 * tarfile.BLOCKSIZE + -size % tarfile.RECORDSIZE))  # no hole: it ends the file

    def _header(self, name: str, size: int) -> bytes:
        """In the formats that Portage writes: ustar, or GNU's where that cannot say it."""
        info = tarfile.TarInfo(f"{self.folder}/{name}")
        info.size, info.mtime = size, self.epoch
        is_large = size >= SECTION or len(self.folder) > 150
        return info.tobuf(tarfile.GNU_FORMAT if is_large else tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
