"""How far a running step is, read from what it leaves on disk: it may run in another process, or in a container.

build/NAME/logs/STEP.log                       emerge's output: which packages it is at work on
build/NAME/logs/STEP/CATEGORY:PACKAGE:*.log    a package's own: in which phase it is (PMS, chapter 9)
build/NAME/logs/STEP.times                     what earlier builds took

A package's log is written by its ebuild: it may be anything but a file, and hold anything.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, time

from quern.portage.plan import package_name
from quern.portage.tally import FETCHING, Tally, Work
from quern.steps import history
from quern.steps.base import Step

PIECE = 1 << 20  # bytes read of a log at one look
PHASE = re.compile(
    rb"^>>> (Unpacking|Extracting|Preparing|Configuring|Compiling|Test phase:|Install(?= )|Completed installing)", re.M
)
PHASES = {
    b"Unpacking": "unpack",
    b"Extracting": "unpack",
    b"Preparing": "prepare",
    b"Configuring": "configure",
    b"Compiling": "compile",
    b"Test phase:": "test",
    b"Install": "install",
    b"Completed installing": "package",
}


class Tail:
    """What is added to a file, which need not be there yet, and of which nothing before `since` (time(2)) counts."""

    def __init__(self, path: Path, since: float = 0.0) -> None:
        self._path, self._since = path, since
        self._inode = self._offset = 0
        self._rest = b""

    def lines(self) -> bytes:
        """The whole lines that were added since the last call, of a regular file; empty where there is none."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_mtime < self._since:
                return b""
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._inode, self._offset, self._rest = status.st_ino, 0, b""
            piece = os.pread(descriptor, PIECE, self._offset)
        finally:
            os.close(descriptor)
        self._offset += len(piece)
        whole, end, self._rest = (self._rest + piece).rpartition(b"\n")
        self._rest = self._rest[-PIECE:]
        return whole + end


class Progress:
    """The progress of a `step` of `image`, which begins now."""

    def __init__(self, image: str, step: Step) -> None:
        self.image, self.step = image, step
        self.started = monotonic()
        self.tally = Tally(binary=step.name != "packages")
        self._output = Tail(step.place.log, time() - 0.1)  # file systems have a coarser clock
        self._logs: dict[str, Tail] = {}
        self._phases: dict[str, str] = {}
        self._history = history.read(step.place.times)

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return monotonic() - self.started

    def look(self) -> None:
        """Read what is new."""
        if not self.step.emerges:
            return
        now = monotonic()
        self.tally.pass_time(now)
        for line in self._output.lines().decode(errors="replace").splitlines():
            if line.startswith("$ "):
                self.tally.begin(line.startswith(FETCHING) or "--fetchonly" in line)
                self._history = history.read(self.step.place.times)  # by now it has the plan
            else:
                self.tally.line(line, now)
        for work in self.tally.running.values():
            self._look_at(work)

    @property
    def total(self) -> int:
        """How many packages there are in all, as far as that is known; 0 before emerge has begun."""
        tally = self.tally
        return max(tally.total, len(self._history.planned)) if tally.total and not tally.fetching else tally.total

    @property
    def packages(self) -> Iterator[tuple[Work, str]]:
        """The packages that emerge is at work on, with the phase of each."""
        for work in self.tally.running.values():
            yield work, "merge" if work.merging else self._phases.get(work.cpv, "")

    @property
    def left(self) -> float | None:
        """The seconds that are left if all takes what it took before; None where that is not known."""
        before = self._history
        if not self.step.emerges:
            return before.seconds - self.elapsed if before.seconds else None
        if not self.tally.total or self.tally.fetching or not set(before.planned) <= before.packages.keys():
            return None
        at_work = {package_name(work.cpv): work.share for work in self.tally.running.values()}
        ahead = [name for name in before.planned if name not in self.tally.shares]
        return sum(max(0.0, before.packages[name] - at_work.get(name, 0.0)) for name in ahead)

    def _look_at(self, work: Work) -> None:
        """Find out in which phase a package is."""
        log = self._logs.get(work.cpv)
        if log is None:
            folder, name = self.step.place.log.with_suffix(""), work.cpv.replace("/", ":")
            files = sorted(folder.glob(f"{name}:*.log"))
            if not files:
                return
            log = self._logs[work.cpv] = Tail(files[-1])
        if found := PHASE.findall(log.lines()):
            self._phases[work.cpv] = PHASES[found[-1]]


def duration(seconds: float, whole: bool = False) -> str:
    """Spell a time in seconds; short ones with a decimal, unless only `whole` seconds are wanted."""
    if seconds < 9.95 and not whole:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def about(seconds: float) -> str:
    """Spell an estimate in seconds, no finer than it is."""
    if seconds < 55:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes // 60} h {minutes % 60:02} min left"
