"""The order of merging, and where it is cut."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from quern.portage.order import FEWEST, groups
from quern.portage.plan import Package
from tests.test_plan import entry, plan


def packages(needs: dict[str, str]) -> tuple[Package, ...]:
    """Packages by `category/package`: the names of what each needs."""
    number = {name: index for index, name in enumerate(needs)}
    return plan(
        *(entry(f"{name}-1", run=[number[needed] for needed in words.split()]) for name, words in needs.items())
    ).packages


def names(found: list[tuple[Package, ...]]) -> list[str]:
    return [" ".join(package.name for package in group) for group in found]


PYTHON = {
    "sys-libs/musl": "",
    "app-misc/mime-types": "",
    "sys-apps/baselayout": "",
    "sys-libs/ncurses": "sys-libs/musl",
    "sys-libs/readline": "sys-libs/musl sys-libs/ncurses",
    "sys-libs/zlib": "sys-libs/musl",
    "sys-apps/busybox": "sys-libs/musl",
    "dev-lang/python": "sys-libs/readline sys-libs/zlib app-misc/mime-types",
    "app-misc/idle": "dev-lang/python",
}
BASE = "app-misc/mime-types sys-apps/baselayout sys-libs/musl sys-libs/ncurses sys-libs/zlib sys-libs/readline"
OWN = {"sys-apps/baselayout", "sys-libs/musl", "sys-apps/busybox", "dev-lang/python"}


def test_ones_own_packages_come_last_and_the_last_of_them_alone() -> None:
    without = {name: needs for name, needs in PYTHON.items() if name != "app-misc/idle"}
    assert names(groups(packages(without), OWN)) == [BASE, "sys-apps/busybox", "dev-lang/python"]


def test_what_needs_them_still_comes_after_them() -> None:
    assert names(groups(packages(PYTHON), OWN)) == [f"{BASE} dev-lang/python app-misc/idle", "sys-apps/busybox"]
    named = groups(packages(PYTHON), {*OWN, "app-misc/idle"})
    assert names(named) == [BASE, "sys-apps/busybox dev-lang/python", "app-misc/idle"]


def test_a_skeleton_comes_first() -> None:
    found = groups(packages(PYTHON), OWN, {"sys-apps/busybox"})
    assert names(found)[0].startswith("sys-libs/musl sys-apps/busybox app-misc/mime-types")


def test_few_packages_are_one_group() -> None:
    few = {f"lib/{number}": "" for number in range(FEWEST)}
    assert len(groups(packages(few), set(few))) == 1
    assert names(groups(packages({**few, "app/last": "lib/0"}), {"app/last"}))[-1] == "app/last"


def test_circles_stay_together_in_the_plans_order() -> None:
    circle = {"c/x": "", "c/b": "c/a c/x", "c/a": "c/b", "c/y": "", "c/z": "", "c/last": "c/a"}
    (first, last) = names(groups(packages(circle), {"c/last"}))
    assert first == "c/x c/y c/z c/b c/a"
    assert last == "c/last"
    # circles are never cut, even if all of the plan is one
    assert names(groups(packages({"c/last": "c/b", "c/b": "c/a", "c/a": "c/last c/b"}), {"c/a"})) == ["c/last c/b c/a"]


@given(st.randoms(use_true_random=False))
def test_needs_come_before_and_the_plans_order_does_not_matter(draw: random.Random) -> None:
    count = draw.randrange(1, 12)
    every = [f"p/{number}" for number in range(count)]
    needs = {name: " ".join(other for other in every if draw.random() < 0.15) for name in every}
    own = {name for name in every if draw.random() < 0.4}
    first = {name for name in every if draw.random() < 0.1}
    found = groups(packages(needs), own, first)
    order = [package.name for group in found for package in group]
    assert sorted(order) == sorted(every)
    reached = {name: _reached(name, needs) for name in every}
    for name in every:
        for needed in reached[name]:
            assert name in reached[needed] or order.index(needed) < order.index(name)
            together = [{name, needed} <= {package.name for package in group} for group in found]
            assert name not in reached[needed] or any(together)
    if not any(name in reached[name] for name in every):  # circles keep the plan's order
        shuffled = dict(draw.sample(sorted(needs.items()), count))
        assert first or names(groups(packages(shuffled), own)) == names(found)


def _reached(name: str, needs: dict[str, str]) -> set[str]:
    found: set[str] = set()
    todo = needs[name].split()
    while todo:
        needed = todo.pop()
        if needed not in found:
            found.add(needed)
            todo += needs[needed].split()
    return found
