from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quern.drivers.answers import answer_of
from quern.drivers.base import Command
from quern.drivers.confinement import worker
from quern.drivers.raw import RawDriver
from quern.errors import DriverError, of_the_machine
from tests.building import CHECKOUT

# runs a command as quern does; a worker's verb is a command that it starts as well
QUERN = """
import sys
from pathlib import Path
from quern.drivers.base import Command
from quern.drivers.raw import RawDriver
folder = Path(sys.argv[1])
command = Command(sys.argv[2:], {"PATH": "/usr/bin:/bin"}, folder, folder / "log", terminal=False)
RawDriver().run(command, lambda line: print(line, flush=True))
"""

# a command, its child, and a grandchild that has left the child; each writes its process id and stays
FAMILY = """
echo $$ > one
sh -c 'echo $$ > two; exec sleep 60' &
sh -c "sh -c 'echo \\$\\$ > three; exec sleep 60' &"
until test -s one -a -s two -a -s three; do sleep 0.01; done
echo started
wait
"""


def run(folder: Path, *argv: str, environment: dict[str, str] | None = None) -> tuple[int, list[str]]:
    """Run a command in `folder`; give its status and lines."""
    lines: list[str] = []
    command = Command(argv, environment or {"PATH": "/usr/bin:/bin"}, folder, folder / "logs/log")
    return RawDriver().run(command, lines.append), lines


def test_status_and_lines(tmp_path: Path) -> None:
    assert run(tmp_path, "sh", "-c", "echo one; echo two >&2; printf three; exit 7") == (7, ["one", "two", "three"])
    assert run(tmp_path, "true") == (0, [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_status_of_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    assert run(tmp_path, "sh", "-c", f"kill -{int(number)} $$")[0] == 128 + number


def test_nothing_is_inherited(tmp_path: Path) -> None:
    status, lines = run(tmp_path, "/usr/bin/env", environment={"ONLY": "this"})
    assert (status, lines) == (0, ["ONLY=this"])
    assert run(tmp_path, "pwd")[1] == [str(tmp_path)]


def test_no_open_file_is_inherited(tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        lines = run(tmp_path, "sh", "-c", "ls -l /proc/self/fd")[1]
    assert not any(line.endswith("/open") for line in lines)


def test_log(tmp_path: Path) -> None:
    run(tmp_path, "sh", "-c", "echo one\necho two >&2")
    run(tmp_path, "printf", "%s", "\\303 \udce9")
    log = (tmp_path / "logs/log").read_bytes()
    assert log == b"$ sh -c 'echo one\necho two >&2'\none\ntwo\n$ printf %s '\\303 \xe9'\n\\303 \xe9"


def test_no_room_for_the_log(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught:
        RawDriver().run(Command(["true"], {}, tmp_path, Path("/dev/full")), print)
    assert str(of_the_machine(caught.value)) == "/dev/full: No space left on device"


def test_lines_need_not_be_text(tmp_path: Path) -> None:
    assert run(tmp_path, "printf", "\\377a\\r\\nb") == (0, ["\ufffda", "b"])
    assert b"\xffa\r\nb" in (tmp_path / "logs/log").read_bytes()


def test_log_is_written_as_lines_come(tmp_path: Path) -> None:
    seen: list[str] = []
    log = tmp_path / "log"

    def line(text: str) -> None:
        seen.append(log.read_text().splitlines()[-1])

    RawDriver().run(Command(["sh", "-c", "echo one; echo two"], {"PATH": "/bin"}, tmp_path, log), line)
    assert seen == ["one", "two"]


def test_input_is_empty(tmp_path: Path) -> None:
    status, lines = run(tmp_path, "sh", "-c", "cat; readlink /proc/self/fd/0")
    assert (status, lines) == (0, ["/dev/null"])


def test_no_terminal_is_inherited(tmp_path: Path) -> None:
    assert run(tmp_path, "sh", "-c", "true < /dev/tty")[0] != 0


@contextlib.contextmanager
def at_terminal(folder: Path, *argv: str) -> Iterator[tuple[int, int]]:
    """A user's terminal that shows a command's own; gives the process that runs it, and the terminal."""
    child, terminal = pty.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            command = Command(argv, {"PATH": "/usr/bin:/bin"}, folder, folder / "log", terminal=True)
            os._exit(RawDriver().shell(command, print))
        os._exit(99)
    yield child, terminal
    os.close(terminal)


def until(terminal: int, text: bytes) -> bytes:
    """What the terminal has shown when it has shown this."""
    shown = b""
    while text not in shown:  # at the end reading is an error
        shown += os.read(terminal, 1000)
    return shown


def test_the_terminal_when_asked_for(tmp_path: Path) -> None:
    """A shell talks to the user, whose answers it reads."""
    with at_terminal(tmp_path, "sh", "-c", "printf 'Sure? '; read x; test -t 1; echo $? $x") as (child, terminal):
        until(terminal, b"Sure? ")
        os.write(terminal, b"yes\n")
        until(terminal, b"0 yes\r\n")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


STUFF = """
import fcntl, os, struct, sys, termios
for place in (0, 1, 2, os.open("/dev/tty", os.O_RDWR)):
    for letter in b"touch pwned\\n":
        for request, argument in ((termios.TIOCSTI, bytes([letter])), (0x541C, bytes([2, letter]))):  # TIOCLINUX
            try:
                fcntl.ioctl(place, request, argument)
            except OSError:
                pass
own = int(open("/proc/self/stat").read().rpartition(")")[2].split()[4])  # proc_pid_stat(5): tty_nr
print("terminals", own, *(os.fstat(place).st_rdev for place in (0, 1, 2)), "end", flush=True)
"""


def test_nothing_is_typed_for_the_user(tmp_path: Path) -> None:
    """A command that types (TIOCSTI) types at its own terminal; what the user's shell would read next is empty."""
    with at_terminal(tmp_path, sys.executable, "-c", STUFF) as (child, terminal):
        (number,) = struct.unpack("I", fcntl.ioctl(terminal, 0x80045430, bytes(4)))  # TIOCGPTN, ioctl_tty(2)
        mine = os.open(f"/dev/pts/{number}", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        shown = until(terminal, b" end\r\n")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(BlockingIOError):
            os.read(mine, 100)
        users = os.fstat(mine).st_rdev
        os.close(mine)
    (line,) = [line for line in shown.decode().splitlines() if line.startswith("terminals")]
    (own,) = {int(word) for word in line.split()[1:5]}
    assert own not in (0, users)


def test_keys_that_interrupt(tmp_path: Path) -> None:
    """Ctrl-C is the command's own."""
    with at_terminal(tmp_path, "sh", "-c", "echo ready; exec sleep 60") as (child, terminal):
        until(terminal, b"ready")
        os.write(terminal, b"\x03")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGINT


def test_a_missing_command(tmp_path: Path) -> None:
    assert run(tmp_path, "/nowhere/emerge") == (127, ["/nowhere/emerge: No such file or directory"])


def test_an_error_while_reading_ends_the_command(tmp_path: Path) -> None:
    def line(text: str) -> None:
        raise KeyError(text)

    command = Command(["sh", "-c", FAMILY], {"PATH": "/usr/bin:/bin"}, tmp_path, tmp_path / "log")
    with pytest.raises(KeyError, match="started"):
        RawDriver().run(command, line)
    assert _ended(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_to_quern_ends_the_family(tmp_path: Path, number: signal.Signals) -> None:
    with quern(tmp_path) as process:
        process.send_signal(number)
        status = process.wait(10)
    assert status == {signal.SIGTERM: 143, signal.SIGINT: -signal.SIGINT}[number]
    assert _ended(tmp_path)


def test_quern_killed_ends_the_family(tmp_path: Path) -> None:
    """The next run builds in the same place: nothing of the former may still write there."""
    with quern(tmp_path) as process:
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    assert _ended(tmp_path)


def test_what_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quern.drivers.processes.PATIENCE", 0.2)

    def line(text: str) -> None:
        raise KeyError(text)

    argv = ["sh", "-c", "trap '' TERM; echo $$ > one; echo started; while :; do sleep 1; done"]
    with pytest.raises(KeyError, match="started"):
        RawDriver().run(Command(argv, {"PATH": "/usr/bin:/bin"}, tmp_path, tmp_path / "log"), line)
    assert _ended(tmp_path)


def test_former_handler_comes_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    run(tmp_path, "true")
    RawDriver().call("digest", root=str(tmp_path))
    assert signal.getsignal(signal.SIGTERM) is before


@contextlib.contextmanager
def quern(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A quern that runs FAMILY."""
    argv = [sys.executable, "-c", QUERN, str(folder), "sh", "-c", FAMILY]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process


def _ended(folder: Path) -> bool:
    """Whether all processes that wrote their ids into `folder` are gone, or are so within 5 seconds."""
    pids = [int(path.read_text()) for path in folder.iterdir() if path.name in ("one", "two", "three")]
    assert len(pids) in (1, 3)
    deadline = time.monotonic() + 5
    while any(_runs(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_worker_answers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    answer = RawDriver().call("digest", root=str(tmp_path))
    assert (answer["files"], answer["bytes"]) == (1, 4)
    assert answer["digest"].startswith("sha256:")


def test_worker_error_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="No such file or directory"):
        RawDriver().call("digest", root=str(tmp_path / "absent"))


def test_a_worker_that_was_ended_says_by_what() -> None:
    for status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        with pytest.raises(DriverError, match=r"^worker digest: ended by SIGKILL, which is not ours$"):
            answer_of("digest", status, b"", b"")


def test_what_begins_when_quern_is_gone_ends() -> None:
    """Another process is not its parent any more."""
    argv = [word if not word.startswith("--parent=") else "--parent=1" for word in worker("start", "sleep", "60")]
    assert subprocess.run(argv, timeout=30).returncode == -signal.SIGTERM


ALONE = """
import sys
from pathlib import Path
from quern.drivers.base import Command, Reach
from quern.drivers.raw import RawDriver
folder = Path(sys.argv[1])
for driver in (RawDriver(), RawDriver(confine="auto", say=str)):
    driver.call("digest", root=str(folder))
    driver.call("digest", root=str(folder), reach=Reach([folder]))
    driver.run(Command(["true"], {"PATH": "/usr/bin:/bin"}, folder, folder / "log"), str)
"""


def test_no_bytecode_is_written_into_the_installed_package(tmp_path: Path) -> None:
    """Nor by another Python than the one that it is installed for, which this one stands for."""
    ignored = shutil.ignore_patterns("__pycache__", "starter")
    shutil.copytree(CHECKOUT / "quern", tmp_path / "quern", ignore=ignored)
    (tmp_path / "root").mkdir()
    argv = [sys.executable, "-B", "-c", ALONE, str(tmp_path / "root")]
    subprocess.run(argv, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=True)
    assert list(tmp_path.rglob("__pycache__")) == []


def test_worker_defect_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"(?s)worker digest: exit 1\nTraceback .*unexpected keyword argument 'wrong'"
    ):
        RawDriver().call("digest", wrong=str(tmp_path))


def test_worker_is_isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's folder or environment gets into a worker's Python."""
    (tmp_path / "json.py").write_text("raise SystemExit('hidden')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('hidden')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert RawDriver().call("digest", root=str(tmp_path))["digest"]
