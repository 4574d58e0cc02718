"""The user's terminal, lent to a command that has one of its own: what is typed, what is shown, and the size.

A terminal of its own, because in ours it could type: TIOCSTI (ioctl_tty(2)) puts words into the next command line.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LOOK = 1.0  # seconds after which is looked whether the command has ended: others may keep its terminal open


def is_there() -> bool:
    """Whether the user has a terminal to type at and to read from."""
    return os.isatty(0) and os.isatty(1)


def size() -> tuple[int, int]:
    """Its lines and columns."""
    columns, lines = os.get_terminal_size(0)
    return lines, columns


def resize(descriptor: int, lines: int, columns: int) -> None:
    """Give another terminal this size (ioctl_tty(2), TIOCSWINSZ)."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def relay(theirs: int, resize: Callable[[int, int], object], has_ended: Callable[[], bool]) -> None:
    """Pass on what is typed to the descriptor `theirs`, and show what comes from there, until its end.

    `resize` is told lines and columns, at once and whenever they change.
    """
    with _passed_on(resize):
        watched = [0, theirs]
        while True:
            ready = select.select(watched, [], [], LOOK)[0]
            if theirs in ready:
                if not (shown := _read(theirs)):
                    return
                _write(1, shown)
            if 0 in ready:
                if typed := _read(0):
                    _write(theirs, typed)
                else:
                    watched.remove(0)
            if not ready and has_ended():
                return


@contextmanager
def _passed_on(resize: Callable[[int, int], object]) -> Iterator[None]:
    """While inside, every key is passed on as it is, Ctrl-C too; then the terminal is as it was."""
    former, handler = termios.tcgetattr(0), signal.getsignal(signal.SIGWINCH)
    try:
        signal.signal(signal.SIGWINCH, lambda number, frame: resize(*size()))
        resize(*size())
        tty.setraw(0, termios.TCSADRAIN)  # what has been typed ahead is not lost
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, former)
        signal.signal(signal.SIGWINCH, handler)


def _read(descriptor: int) -> bytes:
    with suppress(OSError):  # EIO: nobody has the other end of a pseudo-terminal any more
        return os.read(descriptor, 1 << 16)
    return b""


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
