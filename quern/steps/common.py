"""What the builders of all images of a run have in common: the machine, and what has failed.

A package that several images have is built by one of them, which has the claim to it (see `claims`); if it fails, it
fails for all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import NamedTuple

from quern.errors import QuernError
from quern.steps import schedule


class Failed(NamedTuple):
    """Why a package could not be built, and for which image that was tried."""

    reason: QuernError
    image: str


class Common:
    """The packages at work, of however many builders; each is known by what it calls itself."""

    def __init__(self) -> None:
        self.failed: dict[str, Failed] = {}  # by key
        self._lock = Lock()
        self._shares: dict[tuple[Hashable, str], int] = {}  # builder and key: how many processes it keeps busy
        self._ready: dict[Hashable, int] = {}  # builder: how many packages it could begin
        self._wakers: dict[Hashable, Callable[[], object]] = {}

    def join(self, builder: Hashable, wake: Callable[[], object]) -> None:
        """Be a builder from now on; `wake` is called when another has ended the build of a package."""
        with self._lock:
            self._wakers[builder] = wake

    def leave(self, builder: Hashable) -> None:
        """Be one no longer."""
        with self._lock:
            for known in (self._wakers, self._ready):
                known.pop(builder, None)
            for which in [each for each in self._shares if each[0] == builder]:
                del self._shares[which]

    def could_begin(self, builder: Hashable, number: int) -> None:
        """Say how many packages the builder could begin now."""
        with self._lock:
            self._ready[builder] = number

    def take(self, builder: Hashable, key: str, processors: int, memory: int) -> int:
        """A share of the machine for one more package, until it is given back.

        It is the number of processes that may be kept busy, of `processors`, where each may take `memory` bytes; 0: it
        has to wait.
        """
        with self._lock:
            jobs = schedule.share(processors, self._shares.values(), max(1, sum(self._ready.values())))
            if jobs and self._shares:
                jobs = schedule.within(schedule.free_memory(), jobs, memory)
            if jobs:
                self._shares[builder, key] = jobs
                self._ready[builder] = max(0, self._ready.get(builder, 0) - 1)
            return jobs

    def give_back(self, builder: Hashable, key: str) -> None:
        """Give the share of a package back."""
        with self._lock:
            self._shares.pop((builder, key), None)

    def wake_others(self, builder: Hashable) -> None:
        """Have the other builders look what they can begin now."""
        with self._lock:
            wakers = [wake for other, wake in self._wakers.items() if other != builder]
        for wake in wakers:
            wake()

    def builds(self, key: str) -> bool:
        """Whether one of the builders is at work on this package."""
        with self._lock:
            return any(key == other for _, other in self._shares)
