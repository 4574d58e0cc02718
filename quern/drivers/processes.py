"""Child processes that end with us, and signals while they run."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

PATIENCE = 10  # seconds a stopped command has to end by itself; emerge's group needs 0.3


@contextmanager
def guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While inside, what ends quern ends the command and all that it has started.

    The kernel's signal for a dead parent reaches the command alone: without the guard, what emerge had started would
    go on writing where the next run builds. The guard reads from us; that we are gone, or could not end the group, is
    the end of its input.
    """
    guard, ended = None, False
    try:
        guard = _start_guard(process.pid)
        yield
        ended = True
    except BaseException:
        with undisturbed():
            end_group(process)
            ended = True
        raise
    finally:
        if guard:
            guard.communicate(b"done\n" if ended else b"")


def _start_guard(group: int) -> subprocess.Popen[bytes]:
    """Start what kills a process group unless told that it is done."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r done || kill -KILL "-$0"', str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it started: SIGTERM, then SIGKILL for what is left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(PATIENCE)
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def undisturbed() -> Iterator[None]:
    """While inside, SIGINT and SIGTERM wait."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextmanager
def terminable() -> Iterator[None]:
    """While inside, SIGTERM to quern raises SystemExit(143), so that a running command is ended before we go.

    Not where the caller has a handler of its own.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    former = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
