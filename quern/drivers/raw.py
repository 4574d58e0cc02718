"""The raw driver: commands run on this machine, as this user, confined where the machine lets us."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from quern.drivers.answers import answer_of, streamed_answer_of
from quern.drivers.attached import at_terminal
from quern.drivers.base import Command, Reach
from quern.drivers.commands import Commands, Stopped
from quern.drivers.confinement import OPTION, WORKER, confined, hint, is_possible, unlike, worker
from quern.drivers.processes import end_group, guarded, terminable, undisturbed
from quern.drivers.shown import copy_lines
from quern.errors import DriverError, naming
from quern.worker import IMPOSSIBLE

PIECE = 1 << 20  # bytes that a verb's output is read in


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
    _running: Commands[subprocess.Popen[bytes]] = field(default_factory=lambda: Commands(end_group), compare=False)

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
                    end_group(process)
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
                    end_group(process)
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
