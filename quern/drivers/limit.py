"""Commands that may take so much time and no more."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BufferedReader

from quern.drivers.processes import guarded, terminable


def run_for(seconds: int, argv: Sequence[str], write: Callable[[bytes], None]) -> int | None:
    """Run a command with an empty environment for `seconds` at most (0: as long as it takes), its output to `write`.

    Returns its exit status as Driver.run does, None if its time was up. It ends as in Driver.run, and at once.
    """
    with terminable():
        process = subprocess.Popen(
            argv,
            env={},
            umask=0o022,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert isinstance(process.stdout, BufferedReader)
        with guarded(process), limited(seconds, partial(_kill_group, process)) as late:
            with process.stdout as output:
                while piece := output.read1(1 << 16):
                    write(piece)
            status = process.wait()
    if late.is_set():
        return None
    return 128 - status if status < 0 else status


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def limited(seconds: int, end: Callable[[], object]) -> Iterator[threading.Event]:
    """While inside, `end` is called after `seconds` (0: never), in another thread; the event says that it was."""
    late = threading.Event()

    def leave() -> None:
        late.set()
        end()

    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), leave)
    timer.daemon = True
    if seconds:
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()
