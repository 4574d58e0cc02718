from __future__ import annotations

from quern.portage.tally import Tally


def emerge(tally: Tally, *lines: tuple[float, str]) -> None:
    """What emerge prints, each line at its time."""
    for now, text in lines:
        tally.line(f">>> {text}", now)


def test_packages_come_and_go() -> None:
    tally = Tally(binary=False)
    tally.begin(fetching=False)
    emerge(
        tally,
        (0, "Verifying ebuild manifests"),
        (1, "Emerging (1 of 3) sys-libs/musl-1.2.5-r1::starter for /w/.packages.new/image/"),
        (1, "Jobs: 0 of 3 complete, 1 running                                   Load avg: 0.52, 0.17, 0.05"),
        (3, "Emerging binary (2 of 3) dev-libs/libfoo++-3::starter for /w/.packages.new/image/"),
    )
    assert (tally.done, tally.total) == (0, 3)
    assert [(work.cpv, work.number, work.merging) for work in tally.running.values()] == [
        ("sys-libs/musl-1.2.5-r1", 1, False),
    ]  # what is installed from a binary package is there to build with
    emerge(tally, (7, "Installing (1 of 3) sys-libs/musl-1.2.5-r1::starter to /w/.packages.new/image/"))
    assert tally.running["sys-libs/musl-1.2.5-r1"].merging
    emerge(
        tally,
        (9, "Completed (1 of 3) sys-libs/musl-1.2.5-r1::starter to /w/.packages.new/image/"),
        (10, "Completed (2 of 3) dev-libs/libfoo++-3::starter to /w/.packages.new/image/"),
    )
    assert (tally.done, list(tally.running)) == (1, [])
    assert tally.shares == {"sys-libs/musl": 8.0}


def test_shares_add_up_to_the_time_at_work() -> None:
    tally = Tally(binary=True)
    tally.begin(fetching=False)
    names = [f"lab/p{number}-1" for number in range(1, 5)]
    for number, cpv in enumerate(names, 1):
        emerge(tally, (number, f"Emerging binary ({number} of 4) {cpv}::lab for /w/"))
    for number, cpv in enumerate(reversed(names), 1):
        emerge(tally, (4 + 2 * number, f"Completed ({5 - number} of 4) {cpv}::lab to /w/"))
    assert sum(tally.shares.values()) == 12 - 1


def test_further_calls_count_on_after_sources_were_fetched() -> None:
    tally = Tally(binary=False)
    tally.begin(fetching=True)
    emerge(tally, (0, "Fetching (2 of 2) lab/b-1::lab for /w/"))
    assert (tally.fetching, tally.done, tally.total, tally.running) == (True, 1, 2, {})
    tally.begin(fetching=False)
    assert (tally.fetching, tally.done, tally.total) == (False, 0, 0)
    emerge(tally, (1, "Emerging (1 of 1) lab/a-1::lab for /w/"), (2, "Completed (1 of 1) lab/a-1::lab to /w/"))
    tally.begin(fetching=False)
    emerge(tally, (3, "Emerging (1 of 2) lab/b-1::lab for /w/"))
    assert (tally.done, tally.total, tally.running["lab/b-1"].number) == (1, 3, 2)


def test_failed_package_is_not_at_work() -> None:
    tally = Tally(binary=False)
    tally.begin(fetching=False)
    emerge(tally, (0, "Emerging (1 of 1) lab/a-1::lab for /w/"))
    emerge(tally, (5, "Failed to emerge lab/a-1 for /w/image/, Log file:"))
    assert (tally.running, tally.done, tally.shares) == ({}, 0, {})


def test_what_only_looks_like_a_line_of_emerge() -> None:
    tally = Tally(binary=False)
    tally.begin(fetching=False)
    emerge(tally, (0, "Emerging (1 of 1) lab/\x1b[31ma-1::lab for /w/"), (0, "Emerging (1 of 1) [bold]::lab for /w/"))
    assert (tally.running, tally.total) == ({}, 0)
