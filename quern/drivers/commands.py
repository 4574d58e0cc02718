"""The commands that run at one time, each in a thread, and how all of them are ended from another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from quern.errors import DriverError

T = TypeVar("T")


class Stopped(DriverError):
    """A command did not end by itself: all were ended."""

    def __init__(self) -> None:
        super().__init__("the command was ended")


class Commands(Generic[T]):
    """Commands that run; `end` ends one. `stopped` says whether all were ended."""

    def __init__(self, end: Callable[[T], object]) -> None:
        self._end = end
        self._running: list[T] = []
        self._lock = threading.Lock()
        self.stopped = False

    @contextmanager
    def listed(self, command: T) -> Iterator[None]:
        """While inside, `stop` ends this command; at once if it was called before."""
        with self._lock:
            self._running.append(command)
        if self.stopped:
            self._end(command)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(command)

    def stop(self) -> None:
        """End all, and whatever is listed later."""
        self.stopped = True
        with self._lock:
            running = [*self._running]
        threads = [threading.Thread(target=self._end, args=(command,)) for command in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
