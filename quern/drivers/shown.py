"""What a command shows: made harmless, and kept line by line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

from quern.errors import naming
from quern.terminal import harmless_bytes

LONGEST = 1 << 20  # bytes of a line; what has none is not to fill the memory
PATIENCE = 1 << 12  # bytes of a sequence that is not at its end
ERASED = b"\b \b"  # what a terminal answers to backspace
# what the next piece may go on with: a sequence (see quern.terminal); a line's end, a character
_SEQUENCE = re.compile(rb"(?:\x1b(?:\[[0-?]*[ -/]*|[]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)|\r)\Z")
_HALF = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")


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


class Shown:
    """What comes from a terminal, piece by piece: a question ends in no new line, and is to be seen at once.

    `line` is called with every line, and `log` has it too; `last` is the last of them.
    """

    def __init__(self, log: IO[bytes], line: Callable[[str], None]) -> None:
        self._log, self._say = log, line
        self._held = self._line = self.last = b""

    def piece(self, data: bytes) -> bytes:
        """The next bytes; returns what to show of what is known so far."""
        data = self._held + data
        end = _end(data)
        shown = ERASED.join(harmless_bytes(part) for part in data[:end].split(ERASED))
        half = _HALF.search(shown)  # not before: what was removed may have kept its bytes from being one character
        whole = half.start() if half else len(shown)
        self._held, data = shown[whole:] + data[end:], shown[:whole]
        *lines, self._line = (self._line + data).split(b"\n")
        for each in lines:
            self._keep(each)
        if len(self._line) > LONGEST:
            self._keep(self._line)
            self._line = b""
        return data

    def end(self) -> None:
        """It is over: what has no end of its line is a line."""
        line, self._line, self._held = self._line + self._held, b"", b""
        if line:
            self._keep(line)

    def _keep(self, line: bytes) -> None:
        self.last = harmless_bytes(line.replace(ERASED, b"").rstrip(b"\r"))
        with naming(Path(self._log.name)):
            self._log.write(self.last + b"\n")
        self._say(self.last.decode(errors="replace"))


def _end(data: bytes) -> int:
    """Where a sequence begins that is not at its end; the end of the data if none does."""
    found = _SEQUENCE.search(data)
    return found.start() if found and len(data) - found.start() <= PATIENCE else len(data)
