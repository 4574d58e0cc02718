"""Why a package is built, in Gentoo's words; and that whatever gives a package another key has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quern import __version__
from quern.portage.changes import Change, phrases, words
from quern.portage.keys import Ingredients, ingredients
from quern.portage.plan import Plan
from quern.portage.reasons import Reasons
from quern.portage.tools import MachineIdentity
from tests.projects import write
from tests.test_keys import MANIFEST, TREE, plan

MACHINE = MachineIdentity(
    [
        "39f982fc",
        "/usr/bin/make 10 1",
        "/usr/bin/x86_64-linux-gnu-gcc-12 20 2",
        "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 30 3",
        "x86_64-linux-musl-gcc 2e3d2b",
        "/usr/lib/x86_64-linux-gnu/libc.so.6 50 5",
    ]
)
ROW = dict(zip(("portage", "make", "gcc", "cc1", "wrapper", "libc"), MACHINE.rows, strict=True))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "tree", TREE)


def edited(plan: Plan, of: str, **parts: object) -> Plan:
    """The plan with one package changed."""
    return replace(plan, packages=tuple(replace(p, **parts) if p.cpv == of else p for p in plan.packages))  # type: ignore[arg-type]


def why(before: Ingredients, after: Ingredients, *names: str) -> list[str]:
    """The reasons of packages, in words."""
    return [words(Reasons(before, after).of(f"lib/{name}-1")) for name in names]


def made_of(tree: Path) -> Ingredients:
    return ingredients(plan(tree), MACHINE)


def test_first_build(tree: Path) -> None:
    assert Reasons(None, made_of(tree)).of("lib/zlib-1") == [Change("new", "", "", "lib/zlib-1")]
    one = plan(tree)
    before = ingredients(replace(one, packages=tuple(p for p in one.packages if p.cpv != "lib/hello-1")), MACHINE)
    assert why(before, made_of(tree), "hello") == ["no binary package yet"]


def test_nothing_but_the_binary_package_is_not_as_it_was(tree: Path) -> None:
    assert why(made_of(tree), made_of(tree), "zlib") == ["its binary package is gone or damaged"]


@pytest.mark.parametrize(
    ("files", "own", "dependent"),
    [
        ({"lib/zlib/zlib-1.ebuild": "edited"}, "ebuild changed", "dependency lib/zlib (ebuild changed)"),
        ({"eclass/c.eclass": "edited"}, "eclass c changed", "dependency lib/zlib (eclass c changed)"),
        ({"lib/zlib/files/fix.patch": "edited"}, "files/ changed", "dependency lib/zlib (files/ changed)"),
        (
            {"lib/zlib/Manifest": MANIFEST.format("99")},
            "DIST zlib.tar.xz changed",
            "dependency lib/zlib (DIST zlib.tar.xz changed)",
        ),
        (
            {"eclass/d.eclass": "edited"},
            "dependency lib/musl (eclass d changed)",
            "dependency lib/musl (eclass d changed)",
        ),
    ],
)
def test_files(tree: Path, files: dict[str, str], own: str, dependent: str) -> None:
    """Of zlib, and of python, which is built with it."""
    before = made_of(tree)
    write(tree, files)
    assert why(before, made_of(tree), "zlib", "python") == [own, dependent]


@pytest.mark.parametrize(
    ("parts", "own", "dependent"),
    [
        ({"flags": ("amd64", "ssl", "test")}, "USE +test", "dependency lib/zlib (USE +test)"),
        ({"flags": ("ssl",)}, "USE -amd64", "dependency lib/zlib (USE -amd64)"),
        ({"subslot": "1"}, "slot 0 -> 0/1", "dependency lib/zlib (slot 0 -> 0/1)"),
        ({"repository": "mine"}, "repository tree -> mine", "dependency lib/zlib (repository tree -> mine)"),
    ],
)
def test_the_package_itself(tree: Path, parts: dict[str, object], own: str, dependent: str) -> None:
    one = plan(tree)
    after = ingredients(edited(one, "lib/zlib-1", **parts), MACHINE)
    assert why(ingredients(one, MACHINE), after, "zlib", "python") == [own, dependent]


def test_another_version(tree: Path) -> None:
    one = plan(tree)
    ebuild = str(tree / "lib/python/python-1.ebuild")
    after = ingredients(edited(one, "lib/python-1", cpv="lib/python-1.1", ebuild=ebuild), MACHINE)
    assert words(Reasons(ingredients(one, MACHINE), after).of("lib/python-1.1")) == "1 -> 1.1"


def test_of_another_slot_only_if_there_is_none_of_the_same(tree: Path) -> None:
    one = plan(tree)
    python = replace(one["lib/python-1"], cpv="lib/python-2", slot="2", subslot="2")
    both = replace(one, packages=(*one.packages, python))
    newer = edited(both, "lib/python-2", cpv="lib/python-2.1")
    assert words(Reasons(ingredients(both, MACHINE), ingredients(newer, MACHINE)).of("lib/python-2.1")) == "2 -> 2.1"
    found = Reasons(ingredients(one, MACHINE), ingredients(both, MACHINE)).of("lib/python-2")
    assert words(found) == "1 -> 2, slot 0 -> 2"


def test_dependencies_that_come_and_go(tree: Path) -> None:
    one = plan(tree)
    after = ingredients(edited(one, "lib/hello-1", build_deps=("lib/zlib-1",)), MACHINE)
    before = ingredients(one, MACHINE)
    assert why(before, after, "hello") == ["dependency lib/zlib added"]
    assert why(after, before, "hello") == ["dependency lib/zlib removed"]


@pytest.mark.parametrize(
    ("former", "now", "reason"),
    [
        (ROW["portage"], "aaaaaaaa", "Portage changed"),
        (ROW["make"], "/usr/bin/make 11 1", "tool make changed"),
        (ROW["make"], "/usr/local/bin/make 10 1", "tool make changed"),
        (ROW["gcc"], "/usr/bin/x86_64-linux-gnu-gcc-12 21 2", "tool gcc changed"),
        (ROW["gcc"], "/usr/bin/x86_64-linux-gnu-gcc-13 20 2", "tool gcc changed"),
        (ROW["cc1"], "/usr/lib/gcc/x86_64-linux-gnu/12/cc1 31 3", "tool gcc changed"),
        (ROW["libc"], "/usr/lib/x86_64-linux-gnu/libc.so.6 51 6", "libc.so.6 of this machine changed"),
        (ROW["wrapper"], "x86_64-linux-musl-gcc 000000", "tool x86_64-linux-musl-gcc changed"),
        (None, "/usr/bin/awk 1 1", "tool awk added"),
        (None, "unconfined /home/me/build/one", "confinement changed"),
        (None, "binhost https://me:secret@a.example/", "binhost https://a.example added"),
    ],
)
def test_the_machine(tree: Path, former: str | None, now: str, reason: str) -> None:
    after = MACHINE._replace(rows=[*(row for row in MACHINE.rows if row != former), now])
    assert why(made_of(tree), ingredients(plan(tree), after), "hello", "docs") == [reason, reason]


def test_a_tool_that_one_package_may_use(tree: Path) -> None:
    features = {"FEATURES": "binpkg-docompress binpkg-dostrip"}
    packages = tuple(replace(each, phases=("-",)) for each in plan(tree).packages)
    one = replace(plan(tree), packages=packages, variables=features)
    perls = (MACHINE._replace(tools={"lib/zlib": [row]}) for row in ("/usr/bin/perl 40 4", "/usr/bin/perl 41 5"))
    before, after = (ingredients(one, machine) for machine in perls)
    assert why(before, after, "zlib", "python") == ["tool perl changed", "dependency lib/zlib (tool perl changed)"]
    assert before.keys()["lib/hello-1"] == after.keys()["lib/hello-1"]


def test_quern_itself(tree: Path) -> None:
    now = made_of(tree)
    version, *compression = now.written
    assert now._replace(written=[version - 1, *compression]).keys()["lib/docs-1"] != now.keys()["lib/docs-1"]
    for before, expected in (
        (now._replace(quern="0.0.9", written=[version - 1, *compression]), f"quern 0.0.9 -> {__version__}"),
        (now._replace(written=[version - 1, *compression]), "quern changed"),
        (now._replace(quern="0.0.9", written=[version, "gzip of yesterday"]), "how packages are compressed changed"),
        (now._replace(quern="0.0.9"), "its binary package is gone or damaged"),
    ):
        assert why(before, now, "docs") == [expected]


def test_the_builder_image(tree: Path) -> None:
    before, after = (ingredients(plan(tree), MachineIdentity([row])) for row in ("sha256:aa", "sha256:bb"))
    assert why(before, after, "docs") == ["builder image changed"]
    assert why(made_of(tree), after, "docs") == ["builder image added"]


def test_variables(tree: Path) -> None:
    one = replace(plan(tree), variables={"CFLAGS": "-O2", "profile.bashrc 1": "aa"})
    other = replace(one, variables={"CFLAGS": "-Os", "profile.bashrc 1": "bb", "LDFLAGS": "-s"})
    before, after = (ingredients(each, MACHINE) for each in (one, other))
    assert why(before, after, "docs") == ["CFLAGS changed, LDFLAGS added, profile.bashrc changed"]


def test_several_at_once_and_many_dependencies(tree: Path) -> None:
    before = made_of(tree)
    many = [replace(plan(tree)["lib/docs-1"], cpv=f"lib/d{number}-1") for number in range(8)]
    one = edited(plan(tree), "lib/hello-1", flags=("amd64", "test"), build_deps=tuple(each.cpv for each in many))
    found = phrases(
        Reasons(before, ingredients(replace(one, packages=(*one.packages, *many)), MACHINE)).of("lib/hello-1")
    )
    assert found == ["USE +test -ssl", *(f"dependency lib/d{n} added" for n in range(5)), "4 more dependencies"]
    rows = [*MACHINE.rows, *(f"/usr/bin/tool{number} 1 1" for number in range(7))]
    tools = MACHINE._replace(rows=rows)
    assert why(before, ingredients(plan(tree), tools), "docs")[0].endswith(", tool tool4 added, 2 more tools")


CHANGES: dict[str, Callable[[Plan], Plan]] = {
    "flags": lambda one: edited(one, "lib/zlib-1", flags=("amd64",)),
    "iuse": lambda one: edited(one, "lib/zlib-1", iuse=("ssl", "test", "new")),
    "slot": lambda one: edited(one, "lib/docs-1", subslot="3"),
    "repository": lambda one: edited(one, "lib/musl-1", repository="other"),
    "dependency": lambda one: edited(one, "lib/docs-1", build_deps=("lib/hello-1",)),
    "variable": lambda one: replace(one, variables={"CFLAGS": "-O3"}),
}


@given(st.dictionaries(st.sampled_from(sorted(TREE)), st.just("edited")), st.sets(st.sampled_from(sorted(CHANGES))))
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_another_key_has_a_reason_and_the_same_key_none(tree: Path, files: dict[str, str], parts: set[str]) -> None:
    write(tree, TREE)
    before = made_of(tree)
    write(tree, files)
    after = plan(tree)
    for part in parts:
        after = CHANGES[part](after)
    now = ingredients(after, MACHINE)
    for cpv, key in now.keys().items():
        found = Reasons(before, now).of(cpv)
        assert (found[0].kind == "lost") == (key == before.keys()[cpv]), found
        assert all(phrases(found))
