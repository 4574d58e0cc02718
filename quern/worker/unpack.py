"""Verb `unpack`: what quern has packed, as a tree again."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from . import zstd

XATTR = "SCHILY.xattr."


def unpack(archive: str, target: str) -> dict[str, Any]:
    """Make the new folder `target` the tree in `archive`; returns {"files"}, the number of entries.

    An ordinary user owns all of it, and there are no devices in it and no capabilities of files.
    """
    with _decompressed(archive) as stream, _opened(stream) as tar:
        tar.extraction_filter = _wanted
        tar.extractall(target, numeric_owner=True)
        members = tar.getmembers()
    for member in members:
        for name, value in member.pax_headers.items():
            if name.startswith(XATTR):
                with suppress(OSError):  # an ordinary user, or a file system that has none
                    path = os.path.join(target, member.name)
                    text = value.encode("utf-8", "surrogateescape")
                    os.setxattr(path, name[len(XATTR) :], text, follow_symlinks=False)
    return {"files": len(members)}


@contextmanager
def _decompressed(path: str) -> Iterator[Any]:
    """What is in the file at `path`, to be read once: gzip, or zstd if its name ends in .zst."""
    with open(path, "rb") as file, zstd.decompressed(file) if path.endswith(".zst") else gzip.open(file) as stream:
        yield stream


def _opened(stream: Any) -> tarfile.TarFile:  # noqa: ANN401 (a stream of one of three kinds)
    return tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape")


def _wanted(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
    """See `tarfile`, extraction filters: all as it is, because the archive is ours."""
    return None if os.geteuid() != 0 and (member.ischr() or member.isblk()) else member
