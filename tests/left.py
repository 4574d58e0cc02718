"""What a build may leave in the place of a file or a folder."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """While inside, a call that waits for ever is a failure after so many `seconds`."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it did not end within {seconds} s")

    former = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as each:
            each.bind(path.name)
    finally:
        os.chdir(here)


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 40 << 30)


# by what a message says of it
ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a link": lambda path: path.symlink_to("/dev/zero"),
    "a socket": _socket,
    "a folder": os.mkdir,
}
LEFT = {**ODD, "no more than": _huge}


def chain(folder: Path, depth: int = 20, name: str = "folder" * 40) -> None:
    """Make folders in folders, deeper than a path can say (PATH_MAX, 4096 bytes)."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
