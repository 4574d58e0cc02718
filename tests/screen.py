"""A terminal to run commands on, and what is to be seen there (pyte interprets what is written to it)."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyte

PATIENCE = 240  # seconds until a command that shows nothing new is given up


class Terminal:
    """What a command, run by `run`, has shown: `rows` of the screen now, and `written` in all."""

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.columns, self.lines = columns, lines
        self.written = b""
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)

    @property
    def rows(self) -> list[str]:
        """The rows of the screen, without the empty ones at its end and spaces at theirs."""
        return "\n".join(row.rstrip() for row in self.screen.display).rstrip().split("\n")

    @property
    def text(self) -> str:
        """All rows."""
        return "\n".join(self.rows)

    def run(
        self,
        argv: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        watch: Callable[[Terminal], bytes | None] = lambda terminal: None,
    ) -> int:
        """Run a command and return its exit status; what `watch` gives after a change on the screen is typed."""
        process, master = pty.fork()
        if process == 0:
            os.chdir(folder)
            os.execvpe(argv[0], list(argv), environment)
        try:
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))
            self._read(master, watch)
        finally:
            os.close(master)  # hangs up, if it is still there
            _, status = os.waitpid(process, 0)
        return os.waitstatus_to_exitcode(status)

    def _read(self, master: int, watch: Callable[[Terminal], bytes | None]) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if not select.select([master], [], [], 1)[0]:
                continue
            try:
                piece = os.read(master, 1 << 16)
            except OSError:  # EIO: nobody has the other side any more
                return
            self.written += piece
            self._stream.feed(piece)
            if typed := watch(self):
                os.write(master, typed)
        raise AssertionError(f"not over within {PATIENCE} s:\n{self.text}")
