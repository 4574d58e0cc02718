"""Which packages emerge is at work on, from its lines, like `>>> Emerging (3 of 16) sys-libs/zlib-1.3.1::gentoo for /`.

With several jobs packages overlap. What each has cost is its share of the time, of two at work half of it each: so
shares add up to the time that emerge took, and those of the packages to come to the time that it will take.
"""

from __future__ import annotations

import re

from quern.portage.plan import package_name

FETCHING = "$ fetch"  # how the line of a step's log begins after which sources are fetched
BUILDING = "$ build"  # the same, of packages
_LINE = re.compile(
    r">>> (?:(?P<fetch>Fetching)|(?P<begin>Emerging)(?P<binary> binary)?|(?P<merge>Installing)|(?P<end>Completed))"
    r" \((?P<number>\d+) of (?P<total>\d+)\) (?P<cpv>[\w+.@/-]+)::.*",
    re.ASCII,
)
_FAILED = re.compile(r">>> Failed to (?:emerge|install) (?P<cpv>[\w+.@/-]+)[, ].*", re.ASCII)


class Work:
    """One package that emerge is at work on, since `started` (seconds of the caller's clock)."""

    def __init__(self, cpv: str, number: int, started: float, binary: bool) -> None:
        self.cpv = cpv
        self.number = number
        self.started = started
        self.binary = binary
        self.merging = False
        self.share = 0.0


class Tally:
    """What one step's calls of emerge have done so far.

    `total` is the number of packages and `done` that of the finished ones, in all calls; `fetching` says that sources
    are fetched, and that both are numbers of files, `shares` has the seconds of each finished package that was built
    from source or, with `binary`, installed from a binary package, by category/package.
    """

    def __init__(self, binary: bool) -> None:
        self.binary = binary
        self.running: dict[str, Work] = {}
        self.shares: dict[str, float] = {}
        self.done = self.total = 0
        self.fetching = False
        self._before = 0  # packages of earlier calls
        self._now = 0.0

    def begin(self, fetching: bool) -> None:
        """A new call of emerge."""
        self.running.clear()
        if self.fetching:
            self.done = 0
        self.fetching = fetching
        self._before = self.total = self.done

    def line(self, text: str, now: float) -> None:
        """Take the next line of its output, printed at `now` (seconds, of any clock that does not go back)."""
        self.pass_time(now)
        if match := _LINE.fullmatch(text):
            self._take(match, now)
        elif match := _FAILED.fullmatch(text):
            self.running.pop(match["cpv"], None)

    def pass_time(self, now: float) -> None:
        """Charge the time since the last call to the packages at work."""
        for work in self.running.values():
            work.share += (now - self._now) / len(self.running)
        self._now = now

    def _take(self, match: re.Match[str], now: float) -> None:
        cpv = match["cpv"]
        if match["begin"] and match["binary"] and not self.binary:
            return  # installed to build with, or to run while something is installed
        if match["begin"] or match["fetch"]:
            self.total = self._before + int(match["total"])
        if match["begin"]:
            number = self._before + int(match["number"])
            self.running[cpv] = Work(cpv, number, now, bool(match["binary"]))
        elif match["fetch"]:  # which has no line for the end
            self.done = self._before + int(match["number"]) - 1
        elif match["merge"] and cpv in self.running:
            self.running[cpv].merging = True
        elif match["end"] and (work := self.running.pop(cpv, None)):
            self.done += 1
            if work.binary == self.binary:
                self.shares[package_name(cpv)] = work.share
