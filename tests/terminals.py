"""A terminal at which doit runs: what is typed, and what is shown."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.building import CHECKOUT, Project


class Terminal:
    """A terminal at which something runs; `shown` is all that it has shown."""

    def __init__(self, process: int, descriptor: int) -> None:
        self._process, self._descriptor = process, descriptor
        self.shown = ""
        self._read = 0

    def expect(self, text: str) -> None:
        """Wait until it shows a text after the one expected before."""
        deadline = time.monotonic() + 60
        while (at := self.shown.find(text, self._read)) < 0:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown!r}"
            assert self._more(), f"no {text!r} before the end of {self.shown!r}"
        self._read = at + len(text)

    def send(self, text: str) -> None:
        """Type."""
        os.write(self._descriptor, text.encode())

    @property
    def name(self) -> str:
        """The path of the terminal."""
        (number,) = struct.unpack("I", fcntl.ioctl(self._descriptor, 0x80045430, bytes(4)))  # TIOCGPTN, ioctl_tty(2)
        return f"/dev/pts/{number}"

    def status(self) -> int:
        """Read to the end; the exit status."""
        while self._more():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def _more(self) -> bool:
        if select.select([self._descriptor], [], [], 1)[0]:
            try:
                piece = os.read(self._descriptor, 1 << 16)
            except OSError:  # the other end is closed
                return False
            self.shown += piece.decode(errors="replace")
        return True


@contextmanager
def typing(project: Project, *arguments: str) -> Iterator[Terminal]:
    """doit at a terminal of 33 lines and 101 columns."""
    process, descriptor = pty.fork()
    if process == 0:
        try:
            os.chdir(project.folder)
            environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "dumb", **project.variables}
            os.execve(sys.executable, [sys.executable, "-m", "doit", *arguments], environment)
        finally:
            os._exit(99)
    try:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
        yield Terminal(process, descriptor)
    finally:
        os.close(descriptor)
