"""What is drawn, on a terminal that pyte plays."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar

import pyte
import pytest

from quern import live
from quern.live import Live
from quern.portage.tally import FETCHING
from quern.steps import history
from quern.terminal import folded
from tests.projects import write
from tests.readme import blocks, shape
from tests.test_progress import EmergingStep, emerge

Look = Callable[[], list[str]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], tuple[Live, Look]]]:
    """Makes a terminal of so many columns and lines: what draws there, and the rows of its screen."""
    monkeypatch.setattr(live, "INTERVAL", 1e6)  # `look` draws
    monkeypatch.setenv("TERM", "xterm")
    files: list[IO[Any]] = []

    def make(columns: int, lines: int) -> tuple[Live, Look]:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        os.set_blocking(ours, False)
        files.extend([os.fdopen(ours, "rb"), os.fdopen(theirs, "w", encoding="utf-8")])
        drawing, screen = Live(files[-1]), pyte.Screen(columns, lines)
        stream = pyte.ByteStream(screen)

        def look() -> list[str]:
            if drawing._steps:
                for progress in drawing._steps.values():
                    progress.look()
                drawing._draw()
            with suppress(BlockingIOError):
                while True:  # a read gives a part of it
                    stream.feed(os.read(ours, 1 << 16))
            return "\n".join(row.rstrip() for row in screen.display).rstrip().split("\n")

        return drawing, look

    yield make
    for file in reversed(files):
        file.close()


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[EmergingStep]:
    """Of two images, in the folder where the user is."""
    monkeypatch.chdir(tmp_path)
    found = [EmergingStep(tmp_path / name, keep_failed=True, source=tmp_path) for name in ("one", "two")]
    for step in found:
        step.place.log.with_suffix("").mkdir(parents=True)
    return found


def begin(drawing: Live, steps: list[EmergingStep]) -> None:
    """Have two packages at work for the first image, and sources fetched for the second."""
    history.note(steps[0].place.times, 99.0, {"lab/a": 1790.0, "lab/b": 130.0})
    history.plan(steps[0].place.times, ["lab/a", "lab/b"])
    for step in steps:
        drawing.begin(f"toy:{step.work.name}", step.work.name, step)
    begun = [f">>> Emerging ({number} of 2) lab/{name}-1::lab for /w/" for number, name in ((1, "a"), (2, "b"))]
    emerge(steps[0], "$ emerge x", *begun)
    emerge(steps[1], f"{FETCHING} 7 source files", ">>> Fetching (3 of 7) lab/c-1::lab c.tar")


def test_two_images(drawn: Callable[[int, int], tuple[Live, Look]], steps: list[EmergingStep]) -> None:
    drawing, look = drawn(80, 24)
    begin(drawing, steps)
    for _ in range(2):  # over itself
        assert [row.replace("1 s", "0 s") for row in look()] == [
            "    one  toy      0 of 2, 2 running · 0 s · about 32 min left",
            "         (1 of 2) lab/a-1 · 0 s",
            "         (2 of 2) lab/b-1 · 0 s",
            "         one/logs/toy.log",
            "    two  toy      fetching sources, 2 of 7 · 0 s",
            "         two/logs/toy.log",
        ]
    drawing.end("toy:two")
    drawing.failed("two", "toy", "lab/c-1 [red]failed[/red]\n  :boom:", 3.2)
    rows = look()
    assert rows[:3] == ["  ✗ two  toy      failed after 3.2 s", "    lab/c-1 [red]failed[/red]", "      :boom:"]
    assert rows[3].startswith("    one  toy      0 of 2, 2 running")
    drawing.end("toy:one")
    drawing.finished("one", "toy", "2 packages, 41.2 MB", 72)
    drawing.close()
    assert look() == [*rows[:3], "  ✓ one  toy      2 packages, 41.2 MB · 1 min 12 s"]


@pytest.mark.parametrize(("columns", "lines"), [(30, 24), (12, 4), (80, 2)])
def test_small_terminal(
    drawn: Callable[[int, int], tuple[Live, Look]], steps: list[EmergingStep], columns: int, lines: int
) -> None:
    """No row is longer than the terminal is wide, nor are there more than it has: both would scroll it."""
    drawing, look = drawn(columns, lines)
    begin(drawing, steps)
    first = look()
    assert len(first) == min(6, lines - 1)
    assert all(len(row) < columns for row in first)
    assert [row[:10] for row in look()] == [row[:10] for row in first]
    drawing.close()


def test_nothing_is_drawn_where_another_task_has_the_terminal(
    drawn: Callable[[int, int], tuple[Live, Look]], steps: list[EmergingStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.01)
    drawing, _ = drawn(80, 24)
    drawing.yield_to("mine")
    drawing.begin("toy:one", "one", steps[0])
    monkeypatch.setattr(drawing, "_draw", lambda: pytest.fail("drawn"))
    drawing._closed.wait(0.2)
    assert drawing.end("mine") is None
    monkeypatch.undo()
    drawing.close()


class PackagesStep(EmergingStep):
    name: ClassVar[str] = "packages"


def test_the_screen_that_the_manual_shows(
    drawn: Callable[[int, int], tuple[Live, Look]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for times: a finished step, what was said after it, and packages at work for the next."""
    monkeypatch.chdir(tmp_path)
    drawing, look = drawn(100, 24)
    step = PackagesStep(tmp_path / "build/musl-python3", keep_failed=True, source=tmp_path)
    logs = step.place.log.with_suffix("")
    logs.mkdir(parents=True)
    names = [f"lab/p{number}" for number in range(14)]
    cpvs = [*(f"{name}-1" for name in names[:9]), "dev-libs/openssl-3.0.20", "sys-libs/zlib-1.3.1"]
    history.note(step.place.times, 99.0, dict.fromkeys([*names, "dev-libs/openssl", "sys-libs/zlib"], 1.5))
    history.plan(step.place.times, [*names, "dev-libs/openssl", "sys-libs/zlib"])
    drawing.finished("musl-python3", "portage", "", 0.3)
    drawing._write(folded(drawing._stream, "Building 16 of 16 packages: no binary package yet", "    musl-python3  "))
    drawing.begin("packages:musl-python3", "musl-python3", step)
    for number, cpv in enumerate(cpvs, 1):
        emerge(step, *(["$ emerge x"] if number == 1 else []), f">>> Emerging ({number} of 16) {cpv}::lab for /w/")
        for word in ("Installing", "Completed") if number < 10 else ():
            emerge(step, f">>> {word} ({number} of 16) {cpv}::lab to /w/")
    write(logs, {"dev-libs:openssl-3.0.20:20261123-142532.log": ">>> Compiling source...\n"})
    write(logs, {"sys-libs:zlib-1.3.1:20261123-142532.log": ">>> Configuring source...\n"})
    assert shape("\n".join(look())) == shape(blocks("tasks", "Output on a terminal")[0])
    drawing.close()
