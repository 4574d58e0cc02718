"""The lines on a terminal that are rewritten while steps run, and those that stay above them.

  ✓ hello  portage   0.1 s
    hello  packages  3 of 5, 2 running · 1 min 12 s · about 40 s left
           (4 of 5) sys-libs/zlib-1.3.1 compile · 12 s
           (5 of 5) dev-libs/expat-2.7.1 configure · 3 s
           build/hello/logs/packages.log

The cursor stands at the beginning of the first line that is rewritten and is never hidden: however this ends, the
terminal is as it was, and what is printed next begins there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import IO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from quern.errors import display
from quern.progress import Progress, about, duration
from quern.steps.base import Step
from quern.terminal import CLEAR, folded, size

INTERVAL = 0.25  # seconds between two looks
SHORT = 5.0  # seconds of which no estimate is worth a word


class Live:
    """Draws on the terminal `stream`, from a thread of its own while a step runs."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._console = Console(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)
        self._steps: dict[str, Progress] = {}
        self._others: dict[str, float] = {}  # tasks that have the terminal to themselves, and since when
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, task: str, image: str, step: Step) -> None:
        """From now on show how far `step` of `image` is, if that is not shown yet."""
        with self._lock:
            self._steps.setdefault(task, Progress(image, step))
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_drawing, daemon=True)
            self._thread.start()

    def yield_to(self, task: str) -> None:
        """Draw nothing until this task, which is none of a step, has ended."""
        with self._lock:
            self._others[task] = monotonic()
            self._write("")

    def end(self, task: str) -> float | None:
        """The task has ended; returns the seconds that a step took, None for another task."""
        with self._lock:
            self._others.pop(task, None)
            found = self._steps.pop(task, None)
            return found.elapsed if found else None

    def finished(self, image: str, step: str, made: str, seconds: float) -> None:
        """Leave a line: a step has ended well, and `made` this."""
        text = Text(made)
        text.append(f" · {duration(seconds)}" if made else duration(seconds), "dim")
        self._stay(_line("✓", "green", image, step, text))

    def failed(self, image: str, step: str, message: str, seconds: float) -> None:
        """Leave what there is to say of a step that has failed."""
        text = Text(f"failed after {duration(seconds)}", "red")
        self._stay(_line("✗", "bold red", image, step, text))
        with self._lock:
            self._write("".join(folded(self._stream, line, "    ") for line in message.splitlines()))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While inside, nothing is drawn, and what is written stays."""
        with self._lock:
            self._write("")
            yield

    def close(self) -> None:
        """Draw nothing any more, and leave nothing that was rewritten."""
        self._closed.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._write("")

    def _stay(self, line: RenderableType) -> None:
        with self._lock:
            with self._console.capture() as capture:
                self._console.print(line, width=size(self._stream)[0])
            self._write(capture.get())

    def _write(self, text: str) -> None:
        """Write in place of the rewritten lines, in one piece."""
        self._stream.write(CLEAR + text)
        self._stream.flush()

    def _keep_drawing(self) -> None:
        # signals are for the main thread, which alone can act on them
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._closed.wait(INTERVAL):
            with self._lock, suppress(OSError):  # the terminal may be gone
                for progress in self._steps.values():
                    progress.look()
                if self._steps and not self._others and self._is_ours():
                    self._draw()

    def _is_ours(self) -> bool:
        """Whether the terminal is this job's: a shell may have put it into the background."""
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except OSError:
            return True

    def _draw(self) -> None:
        """Write the lines over the former ones and go back to the first."""
        width, height = size(self._stream)
        lines = [line for progress in self._steps.values() for line in _lines(progress)][: height - 1]
        with self._console.capture() as capture:
            for line in lines:
                line.truncate(width - 1, overflow="ellipsis")
                self._console.print(line, end="\x1b[K\n", soft_wrap=True)
        text = capture.get().rstrip("\n")
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        self._stream.write(f"\r{text}\x1b[J\r{up}")
        self._stream.flush()


def _line(mark: str, style: str, image: str, step: str, text: Text) -> Table:
    """A line that stays; where it is too long it goes on below its text."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    head = Text.assemble("  ", (mark, style), " ", (image, "bold"), f"  {step:8}")
    grid.add_row(head, text)
    return grid


def _lines(progress: Progress) -> Iterator[Text]:
    """The lines of one step that are rewritten."""
    margin = " " * (len(progress.image) + 6)
    said = [part for part in (_activity(progress), duration(progress.elapsed, whole=True), _estimate(progress)) if part]
    head = Text.assemble("    ", (progress.image, "bold"), f"  {progress.step.name:8} ", said[0])
    head.append("".join(f" · {part}" for part in said[1:]), "dim")
    yield head
    for work, phase in progress.packages:
        count = f"({work.number} of {progress.total}) "
        line = Text.assemble(margin, (count, "dim"), work.cpv, f" {phase}" if phase else "")
        yield line.append(f" · {duration(monotonic() - work.started, whole=True)}", "dim")
    if progress.tally.total:
        yield Text(f"{margin}{display(progress.step.place.log)}", "dim")


def _activity(progress: Progress) -> str:
    tally = progress.tally
    if not progress.step.emerges:
        return ""
    if tally.fetching:
        return f"fetching sources, {tally.done} of {tally.total}" if tally.total else "fetching sources"
    if not tally.total:
        return "preparing"
    if tally.done == progress.total:
        return "finishing"
    running = f", {len(tally.running)} running" if len(tally.running) > 1 else ""
    return f"{tally.done} of {progress.total}{running}"


def _estimate(progress: Progress) -> str:
    left = progress.left
    return about(left) if left is not None and left > SHORT else ""
