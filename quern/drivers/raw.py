"""The raw driver: commands run on this machine, as this user, confined where the machine lets us."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quern.drivers.answers import answer_of, streamed_answer_of
from quern.drivers.base import Command, Reach
from quern.drivers.commands import Commands, Stopped
from quern.drivers.confinement import OPTION, WORKER, confined, hint, is_possible, unlike, worker
from quern.drivers.shown import copy_lines
from quern.errors import DriverError, naming
from quern.worker import IMPOSSIBLE

if TYPE_CHECKING:
    from types import FrameType

PIECE = 1 << 20  # bytes that a verb's output is read in
PATIENCE = 10  # seconds a stopped command has to end by itself; emerge's group needs 0.3


@dataclass(frozen=True)
class RawDriver:
    """Runs commands in a process group of their own, so that one signal ends emerge and all it started.

    `python` is the interpreter for the worker: the one that has Portage. `confine` is the option of that name; `say`
    takes a line for the user.
    """

    python: str = sys.executable
    confine: str = "off"
    say: Callable[[str], None] = print
    throwaway: bool = False
    streams: bool = False
    _running: Commands[subprocess.Popen[bytes]] = field(default_factory=lambda: Commands(_end_group), compare=False)

    @property
    def offline(self) -> str:
        """See Driver.offline."""
        return OPTION if self.confines else ""

    @cached_property
    def confines(self) -> bool:
        """See Driver.confines."""
        return is_possible(self.confine, self.say)

    def _argv(self, command: Command) -> Sequence[str]:
        if not self.confines:
            return worker("start", *command.argv)
        return confined(command.argv, command.reach, command.folder, self.python)

    def _call_argv(self, verb: str, reach: Reach | None) -> Sequence[str]:
        if reach is None or not self.confines:
            return worker(verb, python=self.python)
        argv = [self.python, "-I", "-B", str(WORKER), verb]
        return confined(argv, reach, Path("/"), self.python)

    def run(self, command: Command, line: Callable[[str], None]) -> int:
        """See Driver.run."""
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab", buffering=0) as log, terminable():  # it is what is left when we are killed
            with naming(command.log):
                log.write(os.fsencode(f"$ {shlex.join(command.argv)}\n"))
            process = subprocess.Popen(
                self._argv(command),
                env=dict(command.environment),
                cwd="/" if self.confines else command.folder,
                umask=0o022,  # a build must not depend on the caller's
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            assert process.stdout is not None
            with guarded(process), self._running.listed(process), process.stdout as output:
                last = copy_lines(output, log, line)
                status = process.wait()
        if self._running.stopped:
            raise Stopped
        if status == IMPOSSIBLE and self.confines:
            raise DriverError(unlike(last))
        return 128 - status if status < 0 else status

    def stop(self) -> None:
        """See Driver.stop."""
        with undisturbed():
            self._running.stop()

    def shell(self, command: Command, line: Callable[[str], None]) -> int:
        """See Driver.shell."""
        if not command.terminal:
            return self.run(command, line)
        from quern.drivers.attached import at_terminal

        with terminable():
            folder = Path("/") if self.confines else command.folder
            status = at_terminal(self._argv(command), command.environment, folder)
        return 128 - status if status < 0 else status

    def call(
        self, verb: str, *, environment: Mapping[str, str] | None = None, reach: Reach | None = None, **params: object
    ) -> dict[str, Any]:
        """See Driver.call."""
        with terminable():
            process = subprocess.Popen(
                self._call_argv(verb, reach),
                env=dict(environment) if environment is not None else {"LC_ALL": "C.UTF-8"},
                umask=0o022,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                output, noise = process.communicate(json.dumps(params).encode())
            except BaseException:
                with undisturbed():
                    _end_group(process)
                raise
        if reach is not None and self.confines and process.returncode == IMPOSSIBLE:
            raise DriverError(unlike(noise))
        return answer_of(verb, process.returncode, output, noise)

    def stream(self, verb: str, sink: Callable[[bytes], object], **params: object) -> dict[str, Any]:
        """See Driver.stream."""
        with terminable(), tempfile.TemporaryFile() as noise:  # no pipe: nobody would read it meanwhile
            process = subprocess.Popen(
                worker(verb, python=self.python),
                env={"LC_ALL": "C.UTF-8"},
                umask=0o022,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=noise,
                start_new_session=True,
            )
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                with suppress(BrokenPipeError), process.stdin as parameters:  # the status says why
                    parameters.write(json.dumps(params).encode())
                with process.stdout as output:
                    while piece := output.read(PIECE):
                        sink(piece)
                status = process.wait()
            except BaseException:
                with undisturbed():
                    _end_group(process)
                raise
            noise.seek(0)
            return streamed_answer_of(verb, status, noise.read())

    def hint(self, output: str) -> str:
        """See Driver.hint."""
        return hint(output, OPTION) if self.confines else ""

    def scratch(self, folder: Path, name: str = "") -> str:
        """See Driver.scratch."""
        return str(folder)

    def clear(self) -> None:
        """See Driver.clear."""

    def inside(self, path: Path) -> str:
        """See Driver.inside."""
        return str(path)

    def outside(self, path: str) -> str:
        """See Driver.outside."""
        return path


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
            _end_group(process)
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


def _end_group(process: subprocess.Popen[bytes]) -> None:
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
