"""Summarise what a run has built: how many packages, how long it took, and which packages took longest in a row.

Only the time that packages took in this run counts. Packages that the store has already, and those that another run or
another image builds meanwhile, count as 0 seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from quern.progress import duration
from quern.steps.base import counted
from quern.steps.events import Event

WORDS = {"elsewhere": "built by another run or image", "not_built": "not built"}  # how states are called


@dataclass
class Summary:
    """The result for each package that a run had to build.

    `built` has the seconds by package id, in the order in which the builds ended; `elsewhere` the ids of packages that
    another run or image built meanwhile, and `same` those that were kept because what they are built with is the same.
    """

    built: dict[str, float] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    same: set[str] = field(default_factory=set)
    failed: int = 0

    def add(self, name: str, seconds: float | None) -> None:
        """Note that a package (id) is there; `seconds` is None if it was not built here."""
        self.built[name] = seconds or 0.0
        if seconds is None and name not in self.same:
            self.elsewhere.add(name)

    def state(self, name: str) -> str:
        """Say what became of a package (id) that is there: `built` here, `elsewhere`, or `kept` as it was."""
        return "kept" if name in self.same else "elsewhere" if name in self.elsewhere else "built"

    def lines(
        self, seconds: float, reused: int, not_built: int, inside: Mapping[str, Iterable[str]], names: Mapping[str, str]
    ) -> Iterator[str]:
        """Return the lines to show, none if no package was built here and none failed, or if there was one to build.

        `seconds` is the wall time, `inside` the ids that each package is built with, `names` what to show for an id.
        """
        own = len(self.built) - len(self.elsewhere) - len(self.same)
        if not own + self.failed or len(self.built) + self.failed + not_built == 1:
            return
        counts = {
            "reused": reused + len(self.same),
            "elsewhere": len(self.elsewhere),
            "failed": self.failed,
            "not_built": not_built,
        }
        rest = "".join(f", {number} {WORDS.get(state, state)}" for state, number in counts.items() if number)
        path = [name for name in longest_path(self.built, inside) if self.state(name) == "built"]
        head = f"Built {counted(own, 'package')} in {duration(seconds)}{rest}"
        times = [[names[name], round(self.built[name], 3)] for name in path]
        yield Event(head, "summary", seconds=round(seconds, 3), counts={"built": own, **counts}, longest_path=times)
        if own > 1:
            parts = ", ".join(f"{names[name]} {duration(self.built[name])}" for name in path)
            total = sum(self.built[name] for name in path)
            yield f"Longest path: {duration(total)} of {duration(seconds)}: {parts}"


def longest_path(seconds: Mapping[str, float], inside: Mapping[str, Iterable[str]]) -> list[str]:
    """Find the packages (ids), each built with the one before, whose seconds add up to most.

    `seconds` lists each package after those that it is built with. Of equal paths, the first in that order is taken.
    """
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for name, own in seconds.items():
        needed = set(inside[name])
        last = max((other for other in total if other in needed), key=total.__getitem__, default=None)
        before[name] = last
        total[name] = own + (total[last] if last is not None else 0.0)
    found = []
    end: str | None = max(total, key=total.__getitem__, default=None)
    while end is not None:
        found.append(end)
        end = before[end]
    return found[::-1]
