"""In which order packages are built, how many at once, and how many processors each may keep busy.

A package is begun when all that it is built with is there. Of those, the one goes first behind which most time lies:
its own, and that of the longest chain of packages that wait for one another, up to the last.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

CONTROL_GROUP = Path("/sys/fs/cgroup")


class Schedule:
    """The packages (ids) that are to be built.

    `order` has each after those that it is built with, `inside` says what that is (what is not to be built is there),
    and `seconds` how long each may take.
    """

    def __init__(self, order: Sequence[str], inside: Mapping[str, Iterable[str]], seconds: Mapping[str, float]) -> None:
        wanted = set(order)
        self._waits = {name: wanted.intersection(inside[name]) for name in order}
        self._behind = self._longest(order, seconds)

    @property
    def ready(self) -> list[str]:
        """What can be begun now, in the order in which to begin it."""
        free = [name for name, waits in self._waits.items() if not waits]
        return sorted(free, key=lambda name: -self._behind[name])  # stable

    def behind(self, name: str) -> float:
        """The seconds from the beginning of a package to the end of the last that waits for it."""
        return self._behind[name]

    @property
    def left(self) -> list[str]:
        """What is not begun."""
        return list(self._waits)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be begun."""
        return not self._waits

    def begin(self, name: str) -> None:
        """Take a package that is ready."""
        del self._waits[name]

    def end(self, name: str) -> None:
        """Note that a package is built."""
        for waits in self._waits.values():
            waits.discard(name)

    def fail(self, name: str) -> list[str]:
        """Note that a package cannot be built; returns those which for that cannot be built either, and are left."""
        lost = [other for other, waits in self._waits.items() if name in waits]
        for other in lost:
            self._waits.pop(other, None)
        return [*lost, *(further for other in lost for further in self.fail(other))]

    def _longest(self, order: Sequence[str], seconds: Mapping[str, float]) -> dict[str, float]:
        """The seconds from the beginning of each package to the end of the last that waits for it."""
        found: dict[str, float] = {}
        after: dict[str, float] = {}  # of those that wait for it, the longest
        for name in reversed(order):
            found[name] = seconds[name] + after.get(name, 0.0)
            for other in self._waits[name]:
                after[other] = max(after.get(other, 0.0), found[name])
        return found


def share(processors: int, running: Collection[int], ready: int) -> int:
    """How many processes the next package may keep busy (make -j); 0 if it has to wait.

    Of `processors` half are given twice, because a package is unpacked, configured and installed by one process;
    `running` are the shares of the packages at work, `ready` is the number of those that could be begun now.
    """
    if len(running) >= processors or not ready:
        return 0
    free = processors + processors // 2 - sum(running)
    return min(processors, max(1, -(-free // min(ready, processors - len(running)))))


def within(memory: int, wanted: int, each: int) -> int:
    """How many of the `wanted` processes there is room for in `memory`, if each takes `each`; all three in bytes."""
    return min(wanted, memory // each) if each else wanted


def free_memory(table: Path = Path("/proc/meminfo"), group: Path = CONTROL_GROUP) -> int:
    """The bytes that more processes can have: of this machine (proc(5)), and of the control group of this process.

    Where the kernel does not say (before 3.14, or one that others imitate), there is no end of it.
    """
    try:
        with table.open(encoding="ascii") as file:
            free = next((int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:")), sys.maxsize)
    except OSError:
        free = sys.maxsize
    try:
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        words = (group / "memory.stat").read_text().split()
        cache = int(words[words.index("inactive_file") + 1])  # which the kernel gives up for them
    except (OSError, ValueError):  # "max": no limit
        return free
    return min(free, max(0, limit - used + cache))
