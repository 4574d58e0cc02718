"""What the builders of all images of a run have in common: the machine, and what has failed.

A package that several images have is built by one of them, which has the claim to it (see `claims`); if it fails, it
fails for all. Of all packages that could be begun the one goes first behind which most time lies, whosever it is; so
the first waits until it is known what the other images need, but not for long.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from threading import Lock
from time import monotonic
from typing import NamedTuple

from quern.errors import QuernError
from quern.steps import schedule

PATIENCE = 10.0  # seconds that the first package waits until all images are resolved


class Failed(NamedTuple):
    """Why a package could not be built, and for which image that was tried."""

    reason: QuernError
    image: str


class Common:
    """The packages at work, of however many builders; each is known by what it calls itself.

    `images` are the names of those that are yet to be resolved.
    """

    def __init__(self, images: Iterable[str] = ()) -> None:
        self.failed: dict[str, Failed] = {}  # by key
        self.kept: set[str] = set()  # keys of packages that are as before
        self._lock = Lock()
        self._unresolved = set(images)
        self._until = monotonic() + PATIENCE
        self._shares: dict[tuple[Hashable, str], int] = {}  # builder and key: how many processes it keeps busy
        self._ready: dict[Hashable, dict[str, float]] = {}  # builder: the keys it could begin, and seconds behind each
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

    def resolved(self, image: str) -> None:
        """Say that it is known what the image needs, or that it will not be."""
        with self._lock:
            self._unresolved.discard(image)

    def could_begin(self, builder: Hashable, packages: Mapping[str, float]) -> None:
        """Say which packages (keys) the builder could begin now, and how many seconds lie behind each."""
        with self._lock:
            self._ready[builder] = dict(packages)

    def take(self, builder: Hashable, key: str, processors: int, memory: int) -> int:
        """A share of the machine for one more package, until it is given back.

        It is the number of processes that may be kept busy, of `processors`, where each may take `memory` bytes; 0: it
        has to wait.
        """
        with self._lock:
            if not self._is_next(key):
                return 0
            ready = {each for packages in self._ready.values() for each in packages}
            jobs = schedule.share(processors, self._shares.values(), max(1, len(ready)))
            if jobs and self._shares:
                jobs = schedule.within(schedule.free_memory(), jobs, memory)
            if jobs:
                self._shares[builder, key] = jobs
                for packages in self._ready.values():
                    packages.pop(key, None)
            return jobs

    def _is_next(self, key: str) -> bool:
        """Whether no more time lies behind any other package that could be begun."""
        if self._unresolved and monotonic() < self._until:
            return False
        seconds: dict[str, float] = {}
        for packages in self._ready.values():
            for each, behind in packages.items():
                seconds[each] = max(behind, seconds.get(each, 0.0))
        return seconds.get(key, 0.0) >= max(seconds.values(), default=0.0)

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
