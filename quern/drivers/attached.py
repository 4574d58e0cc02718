"""A command that has the user's standard streams: its own terminal where the user has one, else pipes.

Never the user's files themselves: through a descriptor, root in an image could change their modes and owners.
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from quern.drivers import terminal
from quern.drivers.processes import guarded, terminable
from quern.interrupts import heard

PIECE = select.PIPE_BUF  # bytes that a pipe which can be written to takes at once (pipe(7))


def attached(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command in `/` with the user's terminal or streams; returns its exit status, 128 + N for signal N."""
    with terminable():
        status = at_terminal(argv, environment, Path("/")) if terminal.is_there() else _piped(argv, environment)
    return 128 - status if status < 0 else status


def at_terminal(argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> int:
    """Run a command at a terminal of its own, which the user's shows; returns its status as Popen has it."""
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0):
        with open(theirs, "rb", buffering=0):
            process = subprocess.Popen(
                argv,
                env=dict(environment),
                cwd=folder,
                umask=0o022,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
            )
        with guarded(process):
            terminal.relay(ours, partial(terminal.resize, ours), lambda: process.poll() is not None)
            return process.wait()


def _piped(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    import subprocess

    process = subprocess.Popen(
        argv,
        env=dict(environment),
        cwd="/",
        umask=0o022,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    with heard(), guarded(process):
        _pass_on(process)
        return process.wait()


def _pass_on(process: subprocess.Popen[bytes]) -> None:
    """Copy our input to the command, and its output and errors to ours, until it has closed both."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    sinks = {process.stdout.fileno(): 1, process.stderr.fileno(): 2}
    feeds, typed = True, b""
    while sinks:
        reads = [*sinks, 0] if feeds and not typed else [*sinks]
        writes = [process.stdin] if typed else []
        ready, writable, _ = select.select(reads, writes, [], terminal.LOOK)
        if 0 in ready and not (typed := os.read(0, PIECE)):
            feeds = False
            process.stdin.close()
        if writable:
            feeds = _fed(process, typed)
            typed = b""
        for source in sinks.keys() & set(ready):
            if piece := os.read(source, 1 << 16):
                _write(sinks[source], piece)
            else:
                del sinks[source]
        if not ready and not writable and process.poll() is not None:
            return


def _fed(process: subprocess.Popen[bytes], typed: bytes) -> bool:
    """Write to the command's input, and return whether it may read more."""
    assert process.stdin is not None
    try:
        process.stdin.write(typed)
    except BrokenPipeError:
        process.stdin.close()
        return False
    return True


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
