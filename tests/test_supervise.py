"""What runs as process 1 of a container, here as an ordinary process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quern.worker import host

WORKER = Path(host.__file__).parent


def started(**request: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 (JSON)
    process = subprocess.Popen(
        [sys.executable, "-I", str(WORKER), "supervise"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"environment": {"PATH": "/usr/bin:/bin"}, **request}).encode() + b"\n")
    process.stdin.flush()
    return process


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Status and output of a process whose standard input stays open until its end."""
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdin is not None
    with process.stdin, process.stdout, process.stderr:
        output, noise = process.stdout.read(), process.stderr.read()
        return process.wait(10), output, noise


def test_command_in_its_folder_with_its_environment(tmp_path: Path) -> None:
    process = started(argv=["sh", "-c", "pwd; env; echo noise >&2; exit 7"], folder=str(tmp_path))
    status, output, noise = ended(process)
    assert (status, noise) == (7, b"noise\n")
    assert {line.partition(b"=")[0] for line in output.splitlines()} <= {bytes(tmp_path), b"PATH", b"PWD", b"_"}


def test_one_stream_where_asked() -> None:
    script = "echo one; echo two >&2; echo three"
    assert ended(started(argv=["sh", "-c", script], merge=True)) == (0, b"one\ntwo\nthree\n", b"")


def test_status_of_a_signal() -> None:
    assert ended(started(argv=["sh", "-c", "kill -9 $$"]))[0] == 128 + signal.SIGKILL


def test_input_of_the_command() -> None:
    text = "ü" * 100_000
    assert ended(started(argv=["cat"], input=text))[1].decode() == text


def test_a_verb_for_the_python_that_has_portage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    status, output, _ = ended(started(verb="digest", input=json.dumps({"root": str(tmp_path)})))
    assert (status, json.loads(output)["files"]) == (0, 1)


@pytest.mark.parametrize(("status", "keep", "left"), [(0, True, False), (1, True, True), (1, False, False)])
def test_room_is_empty_before_and_after(tmp_path: Path, status: int, keep: bool, left: bool) -> None:
    """What an earlier command was killed over goes too; what failed stays to be looked at, if that is wanted."""
    scratch = tmp_path / "volume/one"
    scratch.mkdir(parents=True)
    (scratch / "old").touch()
    script = f"ls; touch new; exit {status}"
    ran = ended(started(argv=["sh", "-c", f'cd "$0"; {script}', str(scratch)], scratch=str(scratch), keep=keep))
    assert ran == (status, b"", b"")
    assert (scratch / "new").exists() == left


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_ends_with_whoever_started_it(number: int | None) -> None:
    """The end of its input is the end of quern, however that came to it; in a container all else ends with it."""
    process = started(argv=["sh", "-c", "echo here; exec sleep 3 >/dev/null 2>&1"])
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    if number:
        process.send_signal(number)
    else:
        process.stdin.close()
    assert process.wait(10) == 128 + signal.SIGTERM
    for stream in (process.stdin, process.stdout, process.stderr):
        assert stream is not None
        stream.close()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, (150000, 100000)),
        ({"cpu.max": "max 100000\n"}, (0, 0)),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, (50000, 100000)),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, (-1, 100000)),
        ({}, (0, 0)),
    ],
)
def test_quota_of_processors(tmp_path: Path, files: dict[str, str], expected: tuple[int, int]) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert host.quota(tmp_path) == expected


def test_processors_are_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for quota, expected in (((1, 100000), 1), ((0, 0), len(os.sched_getaffinity(0))), ((-1, 100000), host.cpus())):
        monkeypatch.setattr(host, "quota", lambda quota=quota: quota)
        assert host.cpus() == expected
