"""Runs one command where it can do no harm: no network, nobody else's processes, nothing to write to but its folders.

    quern ──▶ this process ──▶ process 1 of a PID namespace ──▶ the command

The end of quern is the end of this process, its end that of process 1, and with that the kernel ends all that runs
in the namespace (pid_namespaces(7)), daemons included. So does the end of the command.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from . import IMPOSSIBLE, namespaces
from .reap import reap

NOT_FOUND = 127


def confine(request: str, *argv: str) -> int:
    """Run `argv`, with this process's environment; returns its exit status, 128 + N for signal N.

    `request` is JSON: {"writable": [path, ...], "readable": [path, ...], "shown": [[path, path there, writable], ...],
    "hidden": [path, ...], "folder": where to run, "filter": a seccomp filter in base64, "" for none}. Without a command
    everything else is done: that it can be.
    """
    asked = json.loads(request)

    def begin() -> None:
        asked["sockets"] = namespaces.sockets()
        namespaces.unshare(network=False)

    def arrange() -> None:
        seen = namespaces.Seen(asked["writable"], asked["readable"], asked["shown"], asked["hidden"])
        namespaces.arrange(seen, asked["sockets"])
        namespaces.restrict(asked["filter"])

    return isolated(begin, arrange, partial(_become, argv, asked["folder"]) if argv else None)


def isolated(begin: Callable[[], None], arrange: Callable[[], None], become: Callable[[], NoReturn] | None) -> int:
    """Run a command in namespaces; returns its exit status, 128 + N for signal N, IMPOSSIBLE where there are none.

    `begin` makes them, in this process; `arrange` is done by process 1 in there, and `become` by its child.
    """
    child = _Child()
    try:
        begin()
        namespaces.close_to_others()
        namespaces.end_with_parent(signal.SIGKILL)
    except OSError as error:
        return _impossible(error)
    interrupt = signal.signal(signal.SIGINT, _nothing)  # the command has had it from the terminal
    if child.fork(_leave):  # what ends most processes by itself is nothing to process 1
        try:
            os._exit(_init(arrange, become, interrupt))
        except OSError as error:
            os._exit(_impossible(error))
    os.chdir("/")
    return reap(child.process)


class _Child:
    """The process that is waited for, to which SIGTERM is passed on."""

    process = 0

    def fork(self, handler: Any) -> bool:  # noqa: ANN401
        """Make it, with this handler of SIGTERM; returns whether this is it.

        A signal that comes meanwhile is kept for both: else it would be lost between two handlers.
        """
        former = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self.process = os.fork()
        signal.signal(signal.SIGTERM, self._forward if self.process else handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
        return self.process == 0

    def _forward(self, number: int, frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has ended, and we are about to
            os.kill(self.process, number)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal that is none of our business, so that a program that is started has the default again."""


def _impossible(error: OSError) -> int:
    where = f" ({error.filename})" if error.filename else ""
    print(f"{error.strerror}{where}", file=sys.stderr, flush=True)
    return IMPOSSIBLE


def _init(arrange: Callable[[], None], become: Callable[[], NoReturn] | None, interrupt: Any) -> int:  # noqa: ANN401
    """What process 1 does; `interrupt` is the command's handler of SIGINT."""
    namespaces.end_with_parent(signal.SIGKILL)
    arrange()
    os.chdir("/")  # the former folder may lie below one that is hidden now
    namespaces.own_descriptors()
    if become is None:
        return 0
    child = _Child()
    if child.fork(signal.SIG_DFL):
        signal.signal(signal.SIGINT, interrupt)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        become()
    return reap(child.process)


def _become(argv: tuple[str, ...], folder: str) -> NoReturn:
    try:
        os.chdir(folder)
        os.execvp(argv[0], argv)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(NOT_FOUND)
