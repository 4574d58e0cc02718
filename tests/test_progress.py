from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pytest

from quern.portage.tally import FETCHING
from quern.progress import PIECE, Progress, Tail, about, duration
from quern.steps import history
from tests.toy import ToyStep


class EmergingStep(ToyStep):
    """A step that calls emerge, as far as its logs show."""

    emerges: ClassVar[bool] = True


@pytest.fixture
def step(tmp_path: Path) -> EmergingStep:
    """A step of which nothing is there yet but the folder for logs."""
    step = EmergingStep(tmp_path, keep_failed=True, source=tmp_path / "source")
    step.place.log.with_suffix("").mkdir(parents=True)
    return step


def emerge(step: EmergingStep, *lines: str) -> None:
    """Add lines to the step's log."""
    with step.place.log.open("a") as log:
        log.writelines(f"{line}\n" for line in lines)


def phases(progress: Progress) -> dict[str, str]:
    progress.look()
    return {work.cpv: phase for work, phase in progress.packages}


def test_phase_of_a_package(step: EmergingStep) -> None:
    progress = Progress("one", step)
    assert phases(progress) == {}
    emerge(step, "$ emerge --jobs=2 @profile", ">>> Emerging (1 of 2) lab/a-1::lab for /w/")
    assert phases(progress) == {"lab/a-1": ""}
    log = step.place.log.with_suffix("") / "lab:a-1:20261123-142532.log"
    for text, phase in (
        (">>> Unpacking source...\n", "unpack"),
        (">>> Source unpacked in /w\n>>> Preparing source in /w ...\n", "prepare"),
        (">>> Config", "prepare"),
        ("uring source in /w ...\n", "configure"),
        (">>> Source configured.\n>>> Compiling source in /w ...\nprintf '>>> Install x into y'\n", "compile"),
        (">>> Test phase [not enabled]: lab/a-1\n", "compile"),
        (">>> Test phase: lab/a-1\n", "test"),
        ("\n>>> Install lab/a-1 into /w\n>>> Installing x\n", "install"),
        (">>> Completed installing lab/a-1 into /w\n", "package"),
    ):
        with log.open("a") as file:
            file.write(text)
        assert phases(progress) == {"lab/a-1": phase}
    emerge(step, ">>> Installing (1 of 2) lab/a-1::lab to /w/")
    assert phases(progress) == {"lab/a-1": "merge"}
    emerge(step, ">>> Completed (1 of 2) lab/a-1::lab to /w/")
    assert (phases(progress), progress.tally.done, progress.total) == ({}, 1, 2)


def test_log_of_an_earlier_build_says_nothing(step: EmergingStep) -> None:
    emerge(step, "$ emerge @profile", ">>> Emerging (1 of 2) lab/a-1::lab for /w/")
    os.utime(step.place.log, (1, 1))
    progress = Progress("one", step)
    assert phases(progress) == {}
    step.place.log.unlink()
    emerge(step, "$ emerge @profile", ">>> Emerging (2 of 3) lab/b-1::lab for /w/")
    assert list(phases(progress)) == ["lab/b-1"]


def test_estimate(step: EmergingStep) -> None:
    history.note(step.place.times, 99.0, {"lab/a": 30.0, "lab/b": 12.0, "lab/unneeded": 50.0})
    progress = Progress("one", step)
    assert progress.left is None  # nobody knows yet what will be built
    history.plan(step.place.times, ["lab/a", "lab/b"])
    emerge(step, f"{FETCHING} 2 source files", ">>> Fetching (1 of 2) lab/a-1::lab a.tar")
    progress.look()
    assert progress.left is None
    emerge(step, "$ emerge x", ">>> Emerging binary (1 of 9) lab/tool-1::lab for /w/")
    progress.look()
    assert progress.left == 42.0
    assert progress.total == 9


def test_no_estimate_with_a_package_that_was_never_built(step: EmergingStep) -> None:
    history.note(step.place.times, 99.0, {"lab/a": 30.0})
    history.plan(step.place.times, ["lab/a", "lab/new"])
    emerge(step, "$ emerge x", ">>> Emerging (1 of 1) lab/a-1::lab for /w/")
    progress = Progress("one", step)
    progress.look()
    assert (progress.left, progress.total) == (None, 2)  # further calls of emerge are to come


def test_estimate_of_a_step_without_emerge(tmp_path: Path) -> None:
    step = ToyStep(tmp_path, keep_failed=True, source=tmp_path / "source")
    assert Progress("one", step).left is None
    step.place.times.parent.mkdir()
    history.note(step.place.times, 3600.0, {})
    left = Progress("one", step).left
    assert left is not None
    assert 3000 < left <= 3600


def test_logs_that_are_none(tmp_path: Path) -> None:
    """An ebuild can put there what it likes: to open a pipe would wait for ever."""
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("absent", "link", "pipe", "folder"):
        assert Tail(tmp_path / name).lines() == b""


def test_tail(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    path.write_bytes(b"one\ntw")
    assert (tail.lines(), tail.lines()) == (b"one\n", b"")
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert tail.lines() == b"two\nthree\n"
    path.write_bytes(b"anew\n")
    assert tail.lines() == b"anew\n"
    path.write_bytes(b"x" * 3 * PIECE + b"\nlast\n")  # a line without an end does not fill the memory
    found = b"".join(tail.lines() for _ in range(5))
    assert found.endswith(b"x\nlast\n")
    assert len(found) <= 3 * PIECE


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3725, "1 h 02 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_running_time_has_no_decimals() -> None:
    assert [duration(seconds, whole=True) for seconds in (0.4, 3.2, 61.7)] == ["0 s", "3 s", "1 min 02 s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(6, "5 s"), (33, "35 s"), (54, "55 s"), (56, "1 min"), (149, "2 min"), (3600, "1 h 00 min"), (5400, "1 h 30 min")],
)
def test_estimates_are_no_finer_than_they_are(seconds: float, text: str) -> None:
    assert about(seconds) == f"about {text} left"
