"""The lines at the end of building: counts, times, and the longest path."""

from __future__ import annotations

from quern.steps.events import Event
from quern.steps.summary import Summary, longest_path

INSIDE = {"libc": [], "tiny": [], "tls": ["libc"], "shell": ["libc"], "python": ["libc", "tls"]}
NAMES = {name: f"lab/{name}-1" for name in INSIDE}


def summary(seconds: dict[str, float | None], failed: int = 0) -> Summary:
    """Return the summary of a run in which these packages were built."""
    found = Summary(failed=failed)
    for name, own in seconds.items():
        found.add(name, own)
    return found


def lines(found: Summary, seconds: float = 134, reused: int = 0, not_built: int = 0) -> list[str]:
    """Return its lines."""
    return list(found.lines(seconds, reused, not_built, INSIDE, NAMES))


def test_the_path_is_the_longest_by_time_not_by_packages() -> None:
    seconds = {"libc": 10.0, "tiny": 95.0, "tls": 30.0, "python": 40.0}
    assert longest_path(seconds, INSIDE) == ["tiny"]
    assert longest_path({**seconds, "tiny": 45.0}, INSIDE) == ["libc", "tls", "python"]


def test_of_equal_paths_the_first_that_ended_is_taken() -> None:
    assert longest_path({"libc": 1.0, "shell": 5.0, "tls": 5.0}, INSIDE) == ["libc", "shell"]
    assert longest_path({"libc": 1.0, "tls": 5.0, "shell": 5.0}, INSIDE) == ["libc", "tls"]


def test_what_was_kept_as_it_was_is_reused_and_on_no_path() -> None:
    found = Summary(same={"tls"})
    for name, own in {"libc": 10.0, "tls": None, "python": 40.0}.items():
        found.add(name, own)
    assert lines(found, reused=5) == [
        "Built 2 packages in 2 min 14 s, 6 reused",
        "Longest path: 50 s of 2 min 14 s: lab/libc-1 10 s, lab/python-1 40 s",
    ]


def test_programs_get_it_as_an_object() -> None:
    found = Summary(same={"shell"}, failed=1)
    for name, own in {"libc": 10.0, "tiny": None, "shell": None, "tls": 30.04321}.items():
        found.add(name, own)
    (event, _) = lines(found, reused=5, not_built=2)
    assert isinstance(event, Event)
    assert (event.kind, event.fields) == (
        "summary",
        {
            "seconds": 134,
            "counts": {"built": 2, "reused": 6, "elsewhere": 1, "failed": 1, "not_built": 2},
            "longest_path": [["lab/libc-1", 10.0], ["lab/tls-1", 30.043]],
        },
    )
    assert {name: found.state(name) for name in found.built} == {
        "libc": "built", "tiny": "elsewhere", "shell": "kept", "tls": "built",
    }  # fmt: skip


def test_nothing_has_no_path_and_no_lines() -> None:
    assert longest_path({}, INSIDE) == []
    assert lines(summary({}), reused=5) == []
    assert lines(summary({"libc": None})) == []


def test_counts_times_and_path_are_shown() -> None:
    assert lines(summary({"libc": 32.0, "tiny": 3.0, "tls": 12.0, "python": 74.0}), reused=11) == [
        "Built 4 packages in 2 min 14 s, 11 reused",
        "Longest path: 1 min 58 s of 2 min 14 s: lab/libc-1 32 s, lab/tls-1 12 s, lab/python-1 1 min 14 s",
    ]


def test_one_package_needs_no_summary() -> None:
    """Its task says as much; of one that was built beside others there is no path."""
    assert lines(summary({"libc": 3.0}), 3.2, reused=5) == []
    assert lines(summary({}, failed=1), 3.2) == []
    assert lines(summary({"libc": 3.0}, failed=1), 3.2) == ["Built 1 package in 3.2 s, 1 failed"]


def test_failures_are_counted() -> None:
    assert lines(summary({}, failed=1), 20.0, not_built=2) == ["Built 0 packages in 20 s, 1 failed, 2 not built"]


def test_a_package_of_another_run_links_the_path_and_takes_no_time() -> None:
    """python waits for tls, which another run built; the path goes on through it, and does not name it."""
    inside = {**INSIDE, "python": ["tls"]}
    found = summary({"libc": 20.0, "tls": None, "shell": 15.0, "python": 30.0})
    assert list(found.lines(60.0, 0, 0, inside, NAMES)) == [
        "Built 3 packages in 1 min 00 s, 1 built by another run or image",
        "Longest path: 50 s of 1 min 00 s: lab/libc-1 20 s, lab/python-1 30 s",
    ]
