"""What a command shows: made harmless, and kept line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

from quern.errors import naming
from quern.terminal import harmless_bytes

LONGEST = 1 << 20  # bytes of a line; what has none is not to fill the memory


def copy_lines(source: IO[bytes], log: IO[bytes], line: Callable[[str], None]) -> bytes:
    """Pass on every line, as far as it is harmless; returns the last."""
    last = b""
    while raw := source.readline(LONGEST):
        raw = harmless_bytes(raw)
        with naming(Path(log.name)):
            log.write(raw)
        line(raw.decode(errors="replace").rstrip("\r\n"))
        last = raw
    return last
