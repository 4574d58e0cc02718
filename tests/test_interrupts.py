"""Ctrl-C, with the real doit in one and in two processes."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quern import interrupts
from quern.interrupts import Interrupted
from tests.building import CHECKOUT, TIME
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import TREE, ebuild

# a child process whose main thread waits for input while the signal goes to another thread
STOLEN = """
import multiprocessing, os, signal, threading, time
from quern.interrupts import listen

def steal():
    time.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)

def child():
    listen()
    threading.Thread(target=steal, daemon=True).start()
    os.read(os.pipe()[0], 1)

process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(10)
print(process.exitcode)
process.kill()
"""

# doit, to which Ctrl-C comes while it imports the module that makes the tasks
EARLY = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, *rest):
        if name == "quern.questions":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["doit", "list"]
runpy.run_module("doit", run_name="__main__")
"""

# never ends by itself, nor does something that it started
SLOW = """\
src_compile() {
	sleep 3210 &
	while :; do sleep 0.1; done
}
"""


def test_once_for_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(interrupts, "monotonic", lambda: now)
    leave = interrupts._Leave()
    with pytest.raises(Interrupted) as caught:
        leave(signal.SIGINT, None)
    assert caught.value.code == 130
    now += 0.1
    leave(signal.SIGTERM, None)
    now += 60
    with pytest.raises(Interrupted) as caught:
        leave(signal.SIGTERM, None)
    assert caught.value.code == 143


def test_the_code_survives_doit_s_queue() -> None:
    error = Interrupted(130)
    assert type(error)(str(error)).code == 130  # what doit does
    assert pickle.loads(pickle.dumps(type(error))) is Interrupted


def test_while_the_tasks_are_imported(tmp_path: Path) -> None:
    shutil.copy(CHECKOUT / "dodo.py", tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ran = subprocess.run([sys.executable, "-c", EARLY], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


def test_a_signal_that_another_thread_got() -> None:
    ran = subprocess.run([sys.executable, "-c", STOLEN], cwd=CHECKOUT, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("143\n", "")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two images whose packages are slow, sharing one store: one image waits for the other."""
    tool("scanelf", "pax-utils")
    files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
    files |= {f"tree/{name}": text for name, text in TREE.items()}
    for name in ("one", "two"):
        files[f"profiles/{name}/quern.conf"] = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
        files[f"profiles/{name}/packages"] = f"lab/{name}\n"
        files[f"profiles/{name}/parent"] = "lab:image\n"
        files[f"tree/lab/{name}/{name}-1.ebuild"] = ebuild(SLOW)
    files["tree/profiles/image/packages"] = ""
    return write(tmp_path, files)


def interrupt(project: Path, *arguments: str, sign: bytes = b"sleep\x003210\x00") -> tuple[int, str]:
    """Run doit, press Ctrl-C while a package is built; give the exit status and the output. All must be gone then.

    That it is built shows in a command line with the `sign`.
    """
    argv = [sys.executable, "-m", "doit", *arguments]
    output = project / "output"
    with output.open("w") as file:
        process = subprocess.Popen(
            argv,
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=_obey_ctrl_c,
        )
    try:
        _wait(lambda: sign in b"".join(_building(project)) or process.poll() is not None, 120)
        assert process.poll() is None, output.read_text()
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait(8)
        _wait(lambda: not _building(project), 1)
    finally:
        process.kill()
    return status, TIME.sub("", output.read_text())


def _building(project: Path) -> list[bytes]:
    """The command lines of what a build of the project has started: it has a ROOT, and the project's folders."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables, name = (process / "environ").read_bytes(), os.fsencode(project)
            if b"\0ROOT=" in b"\0" + variables and name in variables + (process / "mountinfo").read_bytes():
                found.append((process / "cmdline").read_bytes())
    return found


def _obey_ctrl_c() -> None:
    """In the child: what a shell starts in the background ignores it, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)


@pytest.mark.emerge
def test_one_process(project: Path) -> None:
    status, output = interrupt(project, "image:one")
    assert status == 130
    assert output.splitlines()[-1] == "packages:one interrupted; run it again to go on"
    assert "Traceback" not in output


@pytest.mark.emerge
def test_a_question(project: Path) -> None:
    """While Portage reads an ebuild that does not end."""
    write(project, {"tree/lab/one/one-1.ebuild": ebuild() + "while :; do :; done\n"})
    with (project / "profiles/one/quern.conf").open("a") as file:
        file.write("[build]\nlock = one.lock\n")
    status, output = interrupt(project, "lock:one", sign=b"\0resolve\0")
    assert status == 130
    assert output.splitlines()[-1] == "lock:one interrupted; run it again to go on"
    assert "Traceback" not in output
    assert not (project / "one.lock").exists()


@pytest.mark.emerge
def test_two_processes(project: Path) -> None:
    """Both are ended each time: who gets which signal first, and in which thread, differs."""
    for _ in range(5):
        status, output = interrupt(project, "-n", "2", "image:one", "image:two")
        assert status == 130, output
        assert "Traceback" not in output
        lines = [line for line in output.splitlines() if "interrupted" in line]
        assert sorted(lines) == [f"packages:{name} interrupted; run it again to go on" for name in ("one", "two")]
