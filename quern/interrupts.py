"""What ends a run: Ctrl-C and SIGTERM, in one process or in several (doit -n), and that nobody reads any more.

At Ctrl-C every process of the group gets SIGINT, and at once doit sends its children SIGTERM as well. The first of the
two ends the build; the second must not break off what ends it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from types import FrameType

ECHO = 5.0  # seconds in which a further signal is taken for the same interruption
NUDGES = 5  # how often the main thread is woken, 0.1 s apart: it may not have been waiting yet


class Ended(SystemExit):
    """The run ends with the exit status `code`.

    doit passes it from a child process to its own by class and text, so the text makes it again.
    """

    def __init__(self, status: int | str) -> None:
        super().__init__(int(status))


class Interrupted(Ended):
    """A signal ended the run; `code` is 128 + its number."""


@contextmanager
def heard() -> Iterator[None]:
    """While inside, that nobody reads what is written any more, as after `| head`, ends the run without a word."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is not written yet, and Python writes when it ends
        raise Ended(128 + signal.SIGPIPE) from None


class _Leave:
    """A signal handler that raises Interrupted, once for an interruption."""

    heard = float("-inf")

    def __call__(self, number: int, frame: FrameType | None) -> None:
        before, self.heard = self.heard, monotonic()
        if self.heard - before > ECHO:
            raise Interrupted(128 + number)


_leave = _Leave()
_relaying: set[int] = set()  # the process that has a relay; a fork has none


def listen() -> None:
    """From now on SIGINT and SIGTERM raise Interrupted, where nobody else handles or ignores them."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)
    import multiprocessing

    if multiprocessing.parent_process() is not None and os.getpid() not in _relaying:
        _relaying.add(os.getpid())
        _relay()


def _relay() -> None:
    """Have every signal wake the main thread, which alone runs Python's handlers.

    A child process of doit has more threads, and the kernel may give both signals to one of those: the main thread's
    system call, say to read what emerge prints next, is then restarted as if nothing had been (signal(7)).
    """
    heard, written = os.pipe()
    os.set_blocking(written, False)
    signal.signal(signal.SIGURG, _nothing)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    threading.Thread(target=_nudge, args=(heard, threading.get_ident()), daemon=True).start()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that is sent only to interrupt a system call."""


def _nudge(heard: int, main: int) -> None:
    while numbers := os.read(heard, 512):
        if set(numbers) - {int(signal.SIGURG)}:  # its own comes back as well
            for _ in range(NUDGES):
                signal.pthread_kill(main, signal.SIGURG)
                sleep(0.1)
