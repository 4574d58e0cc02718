"""The order of builds, how many at once, and their shares of the machine."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.steps import common as commons
from quern.steps.common import Common
from quern.steps.schedule import Schedule, free_memory, share, within
from tests.projects import write

INSIDE = {"libc": [], "tiny": [], "tls": ["libc"], "shell": ["libc"], "python": ["libc", "tls"]}
SECONDS = {"libc": 10.0, "tiny": 45.0, "tls": 30.0, "shell": 50.0, "python": 40.0}


def test_the_longest_path_goes_first() -> None:
    """Behind libc lie 80 seconds, behind tiny only its own 45, although libc itself is done in 10."""
    schedule = Schedule(list(INSIDE), INSIDE, SECONDS)
    assert schedule.ready == ["libc", "tiny"]
    schedule.begin("libc")
    assert schedule.ready == ["tiny"]
    schedule.end("libc")
    assert schedule.ready == ["tls", "shell", "tiny"]


def test_what_is_there_already_is_not_waited_for() -> None:
    assert Schedule(["python"], INSIDE, SECONDS).ready == ["python"]


def test_a_failure_takes_with_it_what_waits_for_it() -> None:
    schedule = Schedule(list(INSIDE), INSIDE, SECONDS)
    for name in ("libc", "tls"):
        schedule.begin(name)
        if name == "libc":
            schedule.end(name)
    assert schedule.fail("tls") == ["python"]
    assert schedule.ready == ["shell", "tiny"]


def test_a_failure_reaches_those_behind_those() -> None:
    """What a package is built with is not all that was needed to build that."""
    inside = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"], "e": []}
    schedule = Schedule(list(inside), inside, dict.fromkeys(inside, 1.0))
    schedule.begin("a")
    assert sorted(schedule.fail("a")) == ["b", "c", "d"]
    assert schedule.ready == ["e"]


@given(st.integers(1, 64), st.lists(st.integers(1, 10), max_size=12))
def test_all_are_built_whatever_the_shape(processors: int, ready: list[int]) -> None:
    """Shares are never more than there are processors and half, nor 0 where nothing runs."""
    running: list[int] = []
    for waiting in range(len(ready), 0, -1):
        if not (jobs := share(processors, running, waiting)):
            break
        running.append(jobs)
    assert not ready or running
    assert len(running) <= processors
    assert all(jobs <= processors for jobs in running)
    assert sum(running) <= processors + processors // 2


def test_shares() -> None:
    """One package has all; two on two processors three, the one that is waited for more; many on many one or two."""
    assert share(2, [], 1) == 2
    assert (share(2, [], 2), share(2, [2], 1)) == (2, 1)
    assert share(2, [2, 1], 5) == 0
    assert (share(8, [], 1), share(8, [], 2), share(8, [], 8)) == (8, 6, 2)
    assert share(1, [], 3) == 1


def test_memory() -> None:
    assert within(2 << 30, 4, 512 << 20) == 4
    assert within(1 << 30, 4, 512 << 20) == 2
    assert within(100, 4, 512 << 20) == 0


def test_memory_that_nobody_knows_of_is_no_obstacle(tmp_path: Path) -> None:
    assert within(free_memory(tmp_path / "none", tmp_path), 4, 512 << 20) == 4
    write(tmp_path, {"meminfo": "MemTotal: 9000 kB\n"})
    assert within(free_memory(tmp_path / "meminfo", tmp_path), 4, 512 << 20) == 4


def test_free_memory_is_that_of_the_control_group_where_it_is_less(tmp_path: Path) -> None:
    """What the group has in its cache and does not use, its processes can have."""
    write(tmp_path, {"meminfo": "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"})
    assert free_memory(tmp_path / "meminfo", tmp_path) == 8000 << 10
    write(tmp_path, {"memory.max": "max\n", "memory.current": "1\n", "memory.stat": "anon 1\ninactive_file 1000\n"})
    assert free_memory(tmp_path / "meminfo", tmp_path) == 8000 << 10
    write(tmp_path, {"memory.max": "9000\n", "memory.current": "7000\n"})
    assert free_memory(tmp_path / "meminfo", tmp_path) == 3000


def test_builders_share_the_machine() -> None:
    """Of eight processors, half of which are given twice; what one gives back the other can have."""
    common, woken = Common(), list[str]()
    for name, keys in (("one", "ab"), ("two", "c")):
        common.join(name, partial(woken.append, name))
        common.could_begin(name, dict.fromkeys(keys, 1.0))
    shares = [common.take(name, key, 8, 0) for name, key in (("one", "a"), ("one", "b"), ("two", "c"))]
    assert shares == [4, 4, 4]
    assert common.builds("c")
    assert not common.builds("d")
    common.could_begin("two", {"d": 1.0})
    assert common.take("two", "d", 2, 0) == 0
    common.give_back("one", "a")
    common.wake_others("one")
    assert woken == ["two"]
    assert common.take("two", "d", 8, 0) == 4
    common.leave("two")
    assert not common.builds("c")
    assert common.take("one", "e", 8, sys.maxsize) == 0  # there is not the memory


def test_the_longest_path_goes_first_whosever_it_is() -> None:
    common = Common()
    common.could_begin("short", {"hello": 2.0, "libc": 3.0})
    common.could_begin("long", {"libc": 90.0, "tls": 40.0})
    assert common.take("short", "hello", 2, 0) == 0
    assert common.take("long", "tls", 2, 0) == 0
    assert common.take("short", "libc", 2, 0) == 2  # another image needs it longer: it goes first, for both
    assert common.take("short", "hello", 2, 0) == 0
    assert common.take("long", "tls", 2, 0) == 1
    common.give_back("short", "libc")
    assert common.take("short", "hello", 2, 0) == 2
    common.could_begin("long", {"python": 40.0})
    common.leave("long")
    common.give_back("short", "hello")
    common.could_begin("short", {"world": 1.0})
    assert common.take("short", "world", 2, 0) == 2


def test_the_first_waits_until_all_images_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    common = Common(["one", "two"])
    common.could_begin("one", {"a": 1.0})
    common.resolved("one")
    assert common.take("one", "a", 2, 0) == 0
    common.resolved("two")
    assert common.take("one", "a", 2, 0) == 2
    monkeypatch.setattr(commons, "PATIENCE", 0.0)
    impatient = Common(["one", "two"])
    impatient.could_begin("one", {"a": 1.0})
    assert impatient.take("one", "a", 2, 0) == 2
