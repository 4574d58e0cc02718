"""The members of a tar that somebody else wrote, compressed or not, in bounded time and memory.

What a few bytes can claim to be is limited by a `Budget` for all that is read of one archive: a compressed file can
hold a thousand times its size, a sparse one any size, and a damaged header can send `tarfile` round in circles.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from quern.compress import zstd_module
from quern.worker import zstd

READ = 1 << 37  # bytes that are read at most of one archive, those that are unpacked on the way included
ENTRIES = 1 << 21  # members at most; a big image has some hundred thousand
HEADER = 1 << 20  # bytes of one member's headers at most, as Go's archive/tar has it
DIGITS = 256  # at most in a row in a header: tarfile's time grows with their square (CVE-2024-6232)
NAME = 4096  # bytes of a path at most, as the kernel has it (PATH_MAX)
CHUNK = 1 << 20
SHOWN = 200  # characters of a name in a message


class Refused(Exception):
    """An archive cannot be read; the message is for the user and names the member."""


class Budget:
    """What may still be read of an archive."""

    def __init__(self) -> None:
        self._bytes, self._entries = READ, ENTRIES

    def spend(self, size: int) -> None:
        """Raise Refused if `size` bytes more are too much."""
        self._bytes -= size
        if self._bytes < 0:
            raise Refused(f"expected an archive of at most {READ >> 20} MiB to be read in all")

    def count(self) -> None:
        """Raise Refused if one member more is too much."""
        self._entries -= 1
        if self._entries < 0:
            raise Refused(f"expected an archive of at most {ENTRIES} members")


def shown(name: str) -> str:
    """A member's name for a message."""
    text = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
    few = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in few)


def oddities() -> tuple[type[Exception], ...]:
    """What tarfile and the decompressors raise of damaged data."""
    known = (tarfile.TarError, EOFError, OSError, LookupError, ValueError, TypeError, ArithmeticError, RecursionError)
    return (*known, zlib.error, lzma.LZMAError, *((module.ZstdError,) if (module := zstd.module()) else ()))


@contextmanager
def naming(name: str) -> Iterator[None]:
    """While inside, what cannot be read is said of `name`."""
    try:
        yield
    except Refused as error:
        raise Refused(f"{shown(name)}: {error}") from None
    except oddities() as error:
        raise Refused(f"{shown(name)}: cannot read it: {reason(error)}") from None


def reason(error: Exception) -> str:
    """One line."""
    said = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return " ".join(said.split())[:SHOWN]


ZSTD = b"\x28\xb5\x2f\xfd"
FORMATS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda source: gzip.GzipFile(fileobj=source),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    ZSTD: lambda source: zstd_module().ZstdFile(source),  # a window of at most 128 MiB, as its own command has it
}


class Stream:
    """What is in `source`, which can be sought in, unpacked on the way; going back in a packed one begins anew."""

    def __init__(self, source: IO[bytes], budget: Budget) -> None:
        source.seek(0)
        head = source.read(max(map(len, FORMATS)))
        self._source, self.budget = source, budget
        self._unpack = next((unpack for magic, unpack in FORMATS.items() if head.startswith(magic)), None)
        self.is_header = False  # what is read from now on
        self._room = HEADER
        self.last = b""  # what was read last
        self._begin()

    def _begin(self) -> None:
        self._source.seek(0)
        self._at = 0
        self._plain: Any = self._unpack(self._source) if self._unpack else self._source

    def next_header(self) -> None:
        """Take what is read from now on for headers of one member."""
        self.is_header, self._room = True, HEADER

    def read(self, size: int) -> bytes:
        """See io."""
        if self.is_header:
            self._room -= max(size, tarfile.BLOCKSIZE)
            if size < 0 or self._room < 0:
                raise Refused(f"expected headers of at most {HEADER >> 20} MiB")
        self.last = self._read(size)
        if self.is_header and any(len(digits) > DIGITS for digits in re.findall(rb"[0-9]+", self.last)):
            raise Refused("expected a header with numbers of ordinary length")
        return self.last

    def _read(self, size: int) -> bytes:
        # it takes time even if nothing comes; a header more than content
        self.budget.spend(max(size, tarfile.BLOCKSIZE) * (16 if self.is_header else 1))
        data: bytes = self._plain.read(size)
        self._at += len(data)
        return data

    def seek(self, offset: int) -> None:
        """See io."""
        if self._unpack is None:
            self._plain.seek(offset)
            self._at = offset
            return
        if offset < self._at:
            self._begin()
        while self._at < offset and self._read(min(CHUNK, offset - self._at)):
            pass

    def finish(self) -> None:
        """Read what is packed to its end, where its checksum is."""
        while self._unpack and self._read(CHUNK):
            pass

    def seekable(self) -> bool:
        """See io."""
        return True

    def tell(self) -> int:
        """See io."""
        return self._at


def members(stream: Stream) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Each member of a tar, with what extracts it; of links only the member itself can be extracted."""
    stream.next_header()
    tar = tarfile.TarFile(fileobj=cast("IO[bytes]", stream))
    last = 0
    while (member := tar.next()) is not None:
        stream.is_header = False
        stream.budget.count()
        cast("Any", tar).members.clear()  # which tarfile keeps
        if tar.offset <= last:
            raise Refused(f"{shown(member.name)}: expected a size of 0 or more")
        last = tar.offset
        _check(member)
        yield tar, member
        stream.next_header()
    stream.is_header = False
    if stream.last.strip(b"\0"):  # tarfile takes any other block for the end as well
        raise Refused(f"damaged or cut off at byte {tar.offset}")
    stream.finish()


def _check(member: tarfile.TarInfo) -> None:
    """Raise Refused for what cannot be in a tree."""
    if any(len(name.encode(errors="surrogateescape")) > NAME for name in (member.name, member.linkname)):
        raise Refused(f"{shown(member.name)}: expected a name of at most {NAME} bytes")
    end = 0
    # in another order tarfile's time grows with the square of their number
    for offset, size in cast("list[tuple[int, int]]", member.sparse or []):
        if offset < end or size < 0:
            raise Refused(f"{shown(member.name)}: expected the parts of a sparse file in order")
        end = offset + size
    if member.size < 0:
        raise Refused(f"{shown(member.name)}: expected a size of 0 or more")
