from __future__ import annotations

from quern.portage import ledger
from quern.portage.changes import Change
from quern.portage.lockfile import Locked

NEW = [Change("new", "", "", "x")]
ECLASS = [Change("eclass", "c", "1", "2")]


def test_announcement_is_a_line_a_reason() -> None:
    why = {f"lib/p{number}-1": ECLASS for number in range(7)}
    assert list(ledger.announcement({**why, "lib/a-2": [Change("version", "", "1", "2")]}, 20)) == [
        "Building 8 of 20 packages",
        "  lib/a-2: 1 -> 2",
        "  lib/p0-1, lib/p1-1, lib/p2-1, lib/p3-1, lib/p4-1 and 2 more: eclass c changed",
    ]


def test_announcement_of_all_for_one_reason_is_one_line() -> None:
    why = {f"lib/p{number}-1": NEW for number in range(3)}
    assert list(ledger.announcement(why, 3)) == ["Building 3 of 3 packages: no binary package yet"]
    assert len(list(ledger.announcement(why, 4))) == 2


def test_text() -> None:
    packages = [
        Locked(cpv, "0", "tree", (), "", {}, "", {}, binhost)
        for cpv, binhost in (("lib/zlib-1.3", "https://a.example"), ("lib/a-1", ""), ("lib/b-1", "https://a.example"))
    ]
    why = {"lib/zlib-1.3": NEW, "lib/a-1": ECLASS}
    assert ledger.text(packages, why) == (
        f"{ledger.HEADER}"
        "lib/a-1       built: eclass c changed\n"
        "lib/b-1       reused\n"
        "lib/zlib-1.3  fetched from https://a.example: no binary package yet\n"
    )
