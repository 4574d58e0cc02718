"""Writes files with holes where there are only zeros, so that a sparse file is one when it is installed."""

from __future__ import annotations

from typing import IO

ZEROS = bytes(1 << 20)
LEAST = 4096  # bytes: what file systems can leave out


def write(file: IO[bytes], piece: bytes) -> None:
    """Write up to a MiB to the end of `file`, or leave a hole there; `finish` must follow."""
    size = len(piece)
    if LEAST <= size <= len(ZEROS) and not piece[0] and not piece[-1] and piece == ZEROS[:size]:
        file.seek(size, 1)
    else:
        file.write(piece)


def finish(file: IO[bytes]) -> None:
    """Give `file` its size: it may end with a hole."""
    file.truncate(file.tell())
