"""Binary packages read without Portage: gpkg (GLEP 78) and the older xpak (xpak(5))."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Literal, NamedTuple

from . import WorkerError, zstd

OPENERS: dict[str, Callable[[Any], Any]] = {
    "": lambda file: file, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".lzma": lzma.open,
}  # fmt: skip
# what reading a damaged or forged package raises; OverflowError: a time or an owner that no file can have
DAMAGED = (
    tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, struct.error, ValueError, OverflowError,
)  # fmt: skip
XPAK_END = 16  # bytes: "XPAKSTOP", the length of all before it, "STOP"
METADATA = 256 << 20  # bytes
TOO_LONG = f"its metadata has more than {METADATA >> 20} MiB"
XATTR = "SCHILY.xattr."  # how pax headers name extended attributes (star(5))


class BinaryPackage(NamedTuple):
    """An open binary package: its metadata by file name, as in the database entry, and the stream of its image."""

    metadata: dict[str, bytes]
    image: tarfile.TarFile
    prefix: str  # what the names in `image` begin with


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryPackage]:
    """Open the binary package at `path`. Raises WorkerError if it is none, or is damaged."""
    with open(path, "rb") as file, read(file, path) as package:
        yield package


@contextlib.contextmanager
def read(file: IO[bytes], path: str) -> Iterator[BinaryPackage]:
    """Read the binary package in an open file, which messages call `path`. Raises WorkerError as `opened`."""
    try:
        with _xpak(file) if _is_xpak(file) else _gpkg(file) as package:
            yield package
    except WorkerError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise WorkerError(f"{path} is not a whole binary package: {error}") from error  # bz2 and gzip say it so
    except DAMAGED as error:
        raise WorkerError(f"{path} is not a whole binary package: {error}") from error


@contextlib.contextmanager
def _gpkg(file: IO[bytes]) -> Iterator[BinaryPackage]:
    with contextlib.ExitStack() as stack:
        container = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))
        members = {member.name.rpartition("/")[2]: member for member in container}

        def part(name: str) -> tarfile.TarFile:
            found = next((each for each in members if each.startswith(name) and not each.endswith(".sig")), None)
            content = container.extractfile(members[found]) if found else None
            if found is None or content is None:
                raise ValueError(f"it has no {name}")
            stream = stack.enter_context(_decompressed(content, found[len(name) :]))
            return stack.enter_context(_tar(stream))

        metadata = dict(_files(part("metadata.tar")))
        yield BinaryPackage(metadata, part("image.tar"), "image")


@contextlib.contextmanager
def _xpak(file: IO[bytes]) -> Iterator[BinaryPackage]:
    """A compressed tar, and after it the metadata; a compressor's own end tells where the tar ends."""
    size = file.seek(0, os.SEEK_END)
    file.seek(size - 8)
    (length,) = struct.unpack(">L", file.read(4))
    if length > METADATA:
        raise ValueError(TOO_LONG)
    file.seek(size - 8 - length)
    segment = file.read(length)
    if not segment.startswith(b"XPAKPACK") or not segment.endswith(b"XPAKSTOP"):
        raise ValueError("its metadata is cut off")
    names_size, data_size = struct.unpack(">LL", segment[8:16])
    names, data = segment[16 : 16 + names_size], segment[16 + names_size : 16 + names_size + data_size]
    metadata = {}
    while names:
        (length,) = struct.unpack(">L", names[:4])
        name = names[4 : 4 + length].decode()
        start, count = struct.unpack(">LL", names[4 + length : 12 + length])
        metadata[os.path.basename(name)] = data[start : start + count]
        names = names[12 + length :]
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r|*", encoding="utf-8", errors="surrogateescape") as image:
        yield BinaryPackage(metadata, image, "")


def _is_xpak(file: IO[bytes]) -> bool:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - XPAK_END))
    end = file.read()
    file.seek(0)
    return end.startswith(b"XPAKSTOP") and end.endswith(b"STOP")


def _tar(stream: Any) -> tarfile.TarFile:  # noqa: ANN401 (whatever reads)
    mode: Literal["r:", "r|"] = "r:" if stream.seekable() else "r|"  # the second is slower
    return tarfile.open(fileobj=stream, mode=mode, encoding="utf-8", errors="surrogateescape")


def _files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """The regular files of the metadata, which lie in one folder."""
    size = 0
    for member in tar:
        size += member.size
        if size > METADATA:
            raise ValueError(TOO_LONG)
        content = tar.extractfile(member) if member.isreg() else None
        if content is not None:
            yield member.name.rpartition("/")[2], content.read()


@contextlib.contextmanager
def _decompressed(content: IO[bytes], suffix: str) -> Iterator[Any]:
    """What is in `content`, by the ending of its name."""
    if suffix in OPENERS:
        yield OPENERS[suffix](content)
    elif suffix == ".zst":
        with zstd.decompressed(content) as stream:
            yield stream
    else:
        raise ValueError(f"compressed as {suffix.lstrip('.')}, which quern cannot read")


def below(name: str, prefix: str) -> bytes | None:
    """The name of a member below the image's folder; None for that folder itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{name!r} leads out of it")
    if prefix and parts[:1] != [prefix]:
        raise ValueError(f"{name!r} is not below {prefix}/")
    parts = parts[1:] if prefix else parts
    return "/".join(parts).encode("utf-8", "surrogateescape") if parts else None
