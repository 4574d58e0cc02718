"""What moves, in Gentoo's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.portage.changes import Change, changes, moves, words
from quern.portage.lockfile import Locked
from tests.test_lockfile import PACKAGES

ZLIB = Locked("sys-libs/zlib-1.2", "0/1", "gentoo", ("-minizip", "static"), "1", {"x": "2"}, "3", {"z.tar": "5 A"})
PYTHON = Locked("dev-lang/python-3.13.1", "3.13", "gentoo", (), "1", {"x": "2", "y": "9"}, "", {})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"cpv": "sys-libs/zlib-1.3-r1", "ebuild": "9", "files": "8"}, "sys-libs/zlib 1.2 -> 1.3-r1"),
        ({"cpv": "sys-libs/zlib-2", "distfiles": {"z.tar": "6 B"}}, "sys-libs/zlib 1.2 -> 2, DIST z.tar changed"),
        ({"cpv": "sys-libs/zlib-1.3", "distfiles": {"y.tar": "6 B"}, "eclasses": {}}, "sys-libs/zlib 1.2 -> 1.3"),
        ({"repository": "mine"}, "sys-libs/zlib repository gentoo -> mine"),
        ({"slot": "0/2"}, "sys-libs/zlib slot 0/1 -> 0/2"),
        ({"slot": "1"}, "sys-libs/zlib slot 0/1 -> 1"),
        ({"use": ("minizip", "-static")}, "sys-libs/zlib USE +minizip -static"),
        ({"use": ("-minizip",)}, "sys-libs/zlib USE -static"),
        ({"use": ("-minizip", "static", "new")}, "sys-libs/zlib USE +new"),
        ({"use": ("-new", "static")}, "sys-libs/zlib IUSE +new -minizip"),
        ({"ebuild": "9"}, "sys-libs/zlib ebuild changed"),
        ({"files": "9"}, "sys-libs/zlib files/ changed"),
        ({"files": ""}, "sys-libs/zlib files/ removed"),
        ({"eclasses": {"x": "9"}}, "sys-libs/zlib eclass x changed"),
        ({"eclasses": {"z": "1"}, "ebuild": "9"}, "sys-libs/zlib ebuild changed, eclass x removed, eclass z added"),
        ({"distfiles": {"z.tar": "5 B"}}, "sys-libs/zlib DIST z.tar changed"),
        ({"distfiles": {"z.tar": "5 A", "p": "1 C"}}, "sys-libs/zlib DIST p added"),
    ],
)  # fmt: skip
def test_one_package(change: dict[str, Any], line: str) -> None:
    assert moves([ZLIB, PYTHON], [ZLIB._replace(**change), PYTHON]) == [line]


def test_packages_that_come_and_go() -> None:
    assert moves([ZLIB], [PYTHON]) == ["+ dev-lang/python-3.13.1", "- sys-libs/zlib-1.2"]


def test_slots_of_one_package() -> None:
    older, old = PYTHON._replace(cpv="dev-lang/python-3.11.2", slot="3.11"), PYTHON
    newer = PYTHON._replace(cpv="dev-lang/python-3.14.0", slot="3.14")
    assert moves([older, old], [old, newer]) == ["dev-lang/python 3.11.2 -> 3.14.0, slot 3.11 -> 3.14"]
    assert moves([old], [newer]) == ["dev-lang/python 3.13.1 -> 3.14.0, slot 3.13 -> 3.14"]
    assert moves([old], [old, newer]) == ["+ dev-lang/python-3.14.0"]
    patched = old._replace(cpv="dev-lang/python-3.13.2")
    assert moves([older, old], [older, patched]) == ["dev-lang/python 3.13.1 -> 3.13.2"]


def test_an_eclass_of_many_packages_is_said_once() -> None:
    before = [ZLIB._replace(cpv=f"lib/p{number}-1") for number in range(7)]
    after = [package._replace(eclasses={"x": "9"}) for package in before]
    after[0] = after[0]._replace(ebuild="9")
    assert moves(before, after) == [
        "lib/p0 ebuild changed",
        "eclass x changed (of 7 packages: lib/p0, lib/p1, lib/p2, lib/p3, lib/p4 and 2 more)",
    ]
    overridden = [after[0], after[1]._replace(eclasses={"x": "8"}), *before[2:]]  # by another repository's
    assert moves(before, overridden) == ["lib/p0 ebuild changed, eclass x changed", "lib/p1 eclass x changed"]


def test_where_a_package_was_fetched_is_no_difference() -> None:
    assert moves([ZLIB], [ZLIB._replace(binhost="https://packages.example")]) == []


def test_changes_are_values() -> None:
    after = ZLIB._replace(use=("minizip",), ebuild="9", eclasses={}, distfiles={"z.tar": "6 B"})
    found = changes(ZLIB, after)
    assert found == [
        Change("use", "minizip", "-", "+"),
        Change("use", "static", "+", ""),
        Change("ebuild", "", "1", "9"),
        Change("eclass", "x", "2", ""),
        Change("distfile", "z.tar", "5 A", "6 B"),
    ]
    assert words(found) == "USE +minizip -static, ebuild changed, eclass x removed, DIST z.tar changed"


@given(st.lists(PACKAGES, unique_by=lambda package: (package.name, package.slot.split("/")[0]), max_size=5))
def test_nothing_moves_in_another_order(packages: list[Locked]) -> None:
    assert moves(packages, packages[::-1]) == []


@given(PACKAGES, PACKAGES)
def test_no_difference_without_a_word(one: Locked, other: Locked) -> None:
    other = other._replace(cpv=one.cpv, binhost=one.binhost)
    same = one._replace(use=()) == other._replace(use=()) and _flags(one) == _flags(other)
    assert bool(changes(one, other)) == bool(words(changes(one, other))) == (not same)


def _flags(package: Locked) -> dict[str, bool]:
    """The state of each flag; of one that is there twice, the last counts."""
    return {flag.removeprefix("-"): flag[0] != "-" for flag in package.use}
