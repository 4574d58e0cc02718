"""Times as ratios to a yardstick measured in the same run, since machines differ: `python -m tests.benchmarks`."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    before = time.perf_counter()
    action()
    return time.perf_counter() - before
