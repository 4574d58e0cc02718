from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from quern.steps.lock import is_held, locked
from tests.building import CHECKOUT
from tests.projects import Said

HOLDER = """
import sys, time
from pathlib import Path
from quern.steps.lock import locked
with locked(Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(60)
"""

# holds the lock a hundred times, alone (mkdir fails otherwise), and removes its file each time
REMOVER = """
import contextlib, os, sys
from pathlib import Path
from quern.steps.lock import locked
path, alone = map(Path, sys.argv[1:])
for _ in range(100):
    with locked(path, print):
        alone.mkdir()
        alone.rmdir()
        path.unlink()
        with contextlib.suppress(OSError):
            path.parent.rmdir()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_alone_nothing_is_said(path: Path) -> None:
    said = Said()
    for _ in range(2):
        with locked(path, said):
            assert path.read_text() == f"process {os.getpid()}\n"
    assert said.lines == []


def test_freed_by_an_exception(path: Path) -> None:
    with pytest.raises(KeyError), locked(path, Said()):
        raise KeyError
    said = Said()
    with locked(path, said):
        pass
    assert said.lines == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_second_run_waits_and_says_for_whom(path: Path, number: signal.Signals) -> None:
    with hold(path) as holder:
        said, entered = Said(), threading.Event()

        def second() -> None:
            with locked(path, said):
                entered.set()

        waiting = threading.Thread(target=second)
        waiting.start()
        deadline = time.monotonic() + 10
        while not said.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        assert said.lines == [f"Waiting for process {holder.pid} ({path})"]
        assert not entered.is_set()
        holder.send_signal(number)
        assert entered.wait(10)
        waiting.join()
        assert len(said.lines) == 1


def test_holders_that_remove_the_lock_file(tmp_path: Path) -> None:
    """As `doit clean` does, and the work folder with it: who waited must not hold a file that nobody else finds."""
    argv = [sys.executable, "-c", REMOVER, str(tmp_path / "work/lock"), str(tmp_path / "alone")]
    processes = [subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4


def test_a_program_started_while_locked_does_not_keep_it(path: Path) -> None:
    with locked(path, Said()):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    said = Said()
    try:
        with locked(path, said):
            pass
    finally:
        child.kill()
        child.wait()
    assert said.lines == []


def test_whether_it_is_held(path: Path) -> None:
    """Asking makes no file and takes nothing."""
    assert not is_held(path)
    assert not path.exists()
    with locked(path, print):
        assert is_held(path)
    assert not is_held(path)
    assert path.read_text() == f"process {os.getpid()}\n"
