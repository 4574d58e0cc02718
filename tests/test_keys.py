"""What a package's key must depend on, and what it must not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quern.portage.keys import (
    distfile_digests,
    file_digest,
    ingredients,
    package_keys,
    read_ingredients,
    running,
    tree_digest,
    write_ingredients,
)
from quern.portage.plan import Package, Plan
from quern.portage.tools import MachineIdentity
from quern.worker import gpkg_write
from tests.projects import write

MACHINE = MachineIdentity(["gcc 12", "portage 3"], {"lib/zlib": ["perl 5"]})
MANIFEST = "DIST zlib.tar.xz 5 BLAKE2B {}\nDIST other.tar.xz 6 BLAKE2B 22\nDIST zlib.patch 1 BLAKE2B 33\n"

# musl is built with nothing, zlib with musl, python with zlib (which needs musl), hello with musl; docs with nothing
TREE = {
    "eclass/c.eclass": "C",
    "eclass/d.eclass": "D",
    **{f"lib/{name}/{name}-1.ebuild": name for name in ("musl", "zlib", "python", "hello", "docs")},
    "lib/zlib/files/fix.patch": "fix",
    "lib/zlib/files/more/deep.patch": "deep",
    "lib/zlib/Manifest": MANIFEST.format("11"),
    "lib/zlib/zlib-2.ebuild": "another version",
    "lib/zlib/metadata.xml": "<pkgmetadata/>",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "tree", TREE)


def plan(tree: Path) -> Plan:
    """The plan of the five packages."""

    def package(name: str, build: str = "", run: str = "", eclass: str = "") -> Package:
        return Package(
            cpv=f"lib/{name}-1",
            slot="0",
            subslot="0",
            repository="tree",
            use=("ssl",),
            iuse=("ssl", "test"),
            flags=("amd64", "ssl"),
            on_host=False,
            ebuild=str(tree / f"lib/{name}/{name}-1.ebuild"),
            eclasses={eclass: str(tree / f"eclass/{eclass}.eclass")} if eclass else {},
            distfiles=("zlib.patch", "zlib.tar.xz") if name == "zlib" else (),
            build_deps=tuple(f"lib/{other}-1" for other in build.split()),
            run_deps=tuple(f"lib/{other}-1" for other in run.split()),
        )

    packages = (
        package("musl", eclass="d"),
        package("zlib", build="musl", run="musl", eclass="c"),
        package("python", build="zlib", run="zlib docs"),
        package("hello", build="musl"),
        package("docs"),
    )
    return Plan(packages, {"CFLAGS": "-O2"})


def changed(tree: Path, change: Callable[[], object]) -> set[str]:
    """The names of the packages whose key `change` changes."""
    before = package_keys(plan(tree), MACHINE)
    change()
    after = package_keys(plan(tree), MACHINE)
    return {cpv.split("/")[1].split("-")[0] for cpv in before if before[cpv] != after[cpv]}


def test_how_packages_are_compressed_is_in_every_key(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another zlib gives other bytes for the same content."""
    found, machine = plan(tree), MACHINE
    before = package_keys(found, machine)
    monkeypatch.setattr(gpkg_write, "identity", lambda: "gzip zlib-of-tomorrow level 1")
    after = package_keys(found, machine)
    assert not set(before.values()) & set(after.values())


def test_a_key_is_64_hexadecimal_digits(tree: Path) -> None:
    for key in package_keys(plan(tree), MACHINE).values():
        assert len(key) == 64
        int(key, 16)


def test_the_same_wherever_the_tree_is(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere/other"
    shutil.copytree(tree, other)
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    assert package_keys(plan(other), MACHINE) == package_keys(plan(tree), MACHINE)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("lib/musl/musl-1.ebuild", {"musl", "zlib", "python", "hello"}),
        ("eclass/d.eclass", {"musl", "zlib", "python", "hello"}),
        ("lib/zlib/zlib-1.ebuild", {"zlib", "python"}),
        ("eclass/c.eclass", {"zlib", "python"}),
        ("lib/zlib/files/fix.patch", {"zlib", "python"}),
        ("lib/zlib/files/more/deep.patch", {"zlib", "python"}),
        ("lib/zlib/files/new.patch", {"zlib", "python"}),
        ("lib/hello/files/new.patch", {"hello"}),
        ("lib/python/python-1.ebuild", {"python"}),
        ("lib/docs/docs-1.ebuild", {"docs"}),  # python needs it to run, not to be built
        ("lib/zlib/zlib-2.ebuild", set()),
        ("lib/zlib/metadata.xml", set()),
        ("lib/python/Manifest", set()),
        ("eclass/e.eclass", set()),
    ],
)
def test_a_changed_file(tree: Path, file: str, expected: set[str]) -> None:
    assert changed(tree, lambda: write(tree, {file: "changed"})) == expected


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (MANIFEST.format("99"), {"zlib", "python"}),
        (MANIFEST.format("11").replace(" 5 ", " 7 "), {"zlib", "python"}),
        (MANIFEST.format("11").replace("33", "44"), {"zlib", "python"}),
        (MANIFEST.format("11").replace("22", "44"), set()),
        ("".join(reversed(MANIFEST.format("11").splitlines(keepends=True))), set()),
        (MANIFEST.format("11") + "DIST new.tar.xz 1 BLAKE2B 1\nEBUILD zlib-2.ebuild 1 BLAKE2B 1\n", set()),
        ("", {"zlib", "python"}),
    ],
)
def test_a_changed_manifest(tree: Path, manifest: str, expected: set[str]) -> None:
    assert changed(tree, lambda: write(tree, {"lib/zlib/Manifest": manifest})) == expected


def test_an_executable_bit_of_files(tree: Path) -> None:
    assert changed(tree, lambda: (tree / "lib/zlib/files/fix.patch").chmod(0o755)) == {"zlib", "python"}


@pytest.mark.parametrize("part", ["slot", "subslot", "repository", "iuse", "flags", "cpv"])
def test_a_changed_package(tree: Path, part: str) -> None:
    before = plan(tree)
    value = ("other",) if part in ("iuse", "flags") else "other"
    hello = replace(before["lib/hello-1"], **{part: value})  # type: ignore[arg-type]
    after = replace(before, packages=tuple(hello if p.cpv == "lib/hello-1" else p for p in before.packages))
    old, new = package_keys(before, MACHINE), package_keys(after, MACHINE)
    assert old["lib/hello-1"] != new[hello.cpv]
    assert all(old[cpv] == new[cpv] for cpv in old if cpv != "lib/hello-1")


def test_what_is_needed_to_run_alone_is_in_no_key(tree: Path) -> None:
    """python is not built with what it needs to run: `RDEPEND=lib/docs:=` stays as it is written."""
    before = plan(tree)
    docs = replace(before["lib/docs-1"], subslot="7")
    after = replace(before, packages=tuple(docs if p.cpv == "lib/docs-1" else p for p in before.packages))
    old, new = package_keys(before, MACHINE), package_keys(after, MACHINE)
    assert {cpv for cpv in old if old[cpv] != new[cpv]} == {"lib/docs-1"}


def test_a_library_is_in_the_keys_of_all_behind_it(tree: Path) -> None:
    """Also where only what a package is built with was built with it."""
    one = plan(tree)
    chain = tuple(replace(p, build_deps=("lib/zlib-1",)) if p.cpv == "lib/python-1" else p for p in one.packages)
    before = replace(one, packages=chain)
    write(tree, {"lib/musl/musl-1.ebuild": "edited"})
    old, new = package_keys(before, MACHINE), package_keys(before, MACHINE)
    assert old == new
    assert "lib/musl-1" not in before.closures.inside["lib/python-1"] or before["lib/zlib-1"].run_deps


def test_keys_of_the_host_side_have_its_path(tree: Path) -> None:
    one = plan(tree)
    tool = replace(one["lib/zlib-1"], on_host=True, build_deps=(), run_deps=())
    hello = replace(one["lib/hello-1"], build_deps=("/lib/zlib-1",))
    others = tuple(hello if p.cpv == "lib/hello-1" else p for p in one.packages)
    made_of = ingredients(replace(one, packages=others, host=(tool,)), MACHINE)
    assert set(made_of.host_keys("/a")) == {"/lib/zlib-1"}
    assert made_of.host_keys("/a") != made_of.host_keys("/b")
    assert made_of.host_keys("/a")["/lib/zlib-1"] != made_of.keys()["lib/zlib-1"]
    assert made_of.behind()["lib/hello-1"] == ["/lib/zlib-1"]


def test_variables_and_machine_are_in_every_key(tree: Path) -> None:
    one = plan(tree)
    keys = package_keys(one, MACHINE)
    for other in (
        package_keys(replace(one, variables={"CFLAGS": "-O3"}), MACHINE),
        package_keys(replace(one, variables={"CFLAGS": "-O2", "LDFLAGS": ""}), MACHINE),
        package_keys(one, MACHINE._replace(rows=["gcc 13", "portage 3"])),
        package_keys(one, MACHINE._replace(rows=[*MACHINE.rows, "more"])),
    ):
        assert all(keys[cpv] != other[cpv] for cpv in keys)


def test_tools_are_in_the_keys_of_what_may_use_them(tree: Path) -> None:
    """Those that zlib is declared to need are in its key, and in those of what is built with it."""
    one = plan(tree)
    for tools in ({}, {"lib/zlib": ["perl 6"]}, {"lib/zlib": ["perl 5", "tcl 8"]}):
        keys, other = package_keys(one, MACHINE), package_keys(one, MACHINE._replace(tools=tools))
        assert {cpv for cpv in keys if keys[cpv] != other[cpv]} == {"lib/zlib-1", "lib/python-1"}
    unused = MACHINE._replace(tools={**MACHINE.tools, "lib/unknown": ["tcl 8"]})
    assert package_keys(one, unused) == package_keys(one, MACHINE)


def test_the_same_content_of_what_it_is_built_with(tree: Path) -> None:
    """Then a package would be the same, whatever the keys; its own inputs count as in its key."""
    now = ingredients(plan(tree), MACHINE)
    contents = {name: name.encode().ljust(32) for name in now.recipes}
    before = now.contents_digest("lib/python-1", contents)
    write(tree, {"lib/zlib/files/fix.patch": "unused"})
    after = ingredients(plan(tree), MACHINE)
    assert after.keys()["lib/python-1"] != now.keys()["lib/python-1"]
    assert after.contents_digest("lib/python-1", contents) == before
    others = [
        after.contents_digest("lib/python-1", {**contents, "lib/zlib-1": b"?" * 32}),
        after.contents_digest("lib/zlib-1", contents),
        ingredients(replace(plan(tree), variables={"CFLAGS": "-O3"}), MACHINE).contents_digest(
            "lib/python-1", contents
        ),
        ingredients(plan(tree), MACHINE._replace(rows=["gcc 13"])).contents_digest("lib/python-1", contents),
        after.keys()["lib/python-1"],
    ]
    write(tree, {"lib/python/python-1.ebuild": "changed"})
    others.append(ingredients(plan(tree), MACHINE).contents_digest("lib/python-1", contents))
    assert len({before, *others}) == 7


def test_whose_tools_a_build_may_use(tree: Path) -> None:
    """Those of the package itself, of what runs on the host side, and of what has phases that run when it is merged."""
    one = plan(tree)
    features = {"CFLAGS": "-O2", "FEATURES": "binpkg-docompress binpkg-dostrip"}
    tool = replace(one["lib/docs-1"], on_host=True, phases=("-",))
    phases = {"lib/musl-1": ("compile", "postinst")}
    packages = tuple(replace(each, phases=phases.get(each.id, ("-",))) for each in one.packages)
    packages = tuple(
        replace(each, build_deps=(*each.build_deps, tool.id)) if each.id == "lib/hello-1" else each for each in packages
    )
    quiet = replace(one, packages=packages, host=(tool,), variables=features)
    every = {each.name for each in one.packages}
    assert running(quiet, every) == {
        "lib/musl-1": {"lib/musl"},
        "lib/zlib-1": {"lib/zlib", "lib/musl"},
        "lib/python-1": {"lib/python", "lib/musl"},
        "lib/hello-1": {"lib/hello", "lib/musl", "lib/docs"},
        "lib/docs-1": {"lib/docs"},
        "/lib/docs-1": {"lib/docs"},
    }
    hooked = replace(quiet, variables={**features, "profile.bashrc 0": "0" * 64})
    assert running(hooked, every)["lib/python-1"] == {"lib/python", "lib/musl", "lib/zlib"}
    assert running(quiet, {"lib/musl", "lib/other"})["lib/python-1"] == {"lib/musl"}
    assert running(quiet, {"lib/zlib"})["lib/python-1"] == set()


@given(st.dictionaries(st.sampled_from(sorted(TREE)), st.sampled_from(["changed", "again", ""]), min_size=1))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_edit_taken_back_gives_the_same_keys(tree: Path, edits: dict[str, str]) -> None:
    """And what depends on one of the edits, and nothing else, has another key in between."""
    write(tree, TREE)
    before = package_keys(plan(tree), MACHINE)
    expected = {name for file in edits for name in _touched(file)}
    assert changed(tree, lambda: write(tree, edits)) == expected
    write(tree, TREE)
    assert package_keys(plan(tree), MACHINE) == before


def _touched(file: str) -> set[str]:
    """Which packages a file of TREE goes into; all the edits above change its content."""
    if file in ("lib/zlib/zlib-2.ebuild", "lib/zlib/metadata.xml"):
        return set()
    name = {"eclass/c.eclass": "zlib", "eclass/d.eclass": "musl"}.get(file) or file.split("/")[1]
    return {"musl": {"musl", "zlib", "python", "hello"}, "zlib": {"zlib", "python"}}.get(name, {name})


def test_tree_digest_sees_names_kinds_and_content(tmp_path: Path) -> None:
    folder = write(tmp_path / "tree", {"a": "1", "b/c": "2"})
    write(tmp_path / "other", {"file": "1"})
    seen = {tree_digest(tmp_path / "absent"), tree_digest(folder)}
    for change in (
        lambda: (folder / "a").rename(folder / "d"),
        lambda: (folder / "b").rename(folder / "e"),
        lambda: (folder / "e/c").write_text("3"),
        lambda: (folder / "link").symlink_to("d"),
        lambda: (folder / "empty").mkdir(),
        lambda: (folder / "d").chmod(0o755),
        lambda: (folder / "d").write_text("behind the link"),
        lambda: (folder / "outside").symlink_to(tmp_path / "other"),
        lambda: (folder / "self").symlink_to("."),
        lambda: (tmp_path / "other/file").write_text("behind a link to a folder"),
    ):
        change()
        seen.add(tree_digest(folder))
    assert len(seen) == 12


def test_distfile_digests(tree: Path) -> None:
    manifest = tree / "lib/zlib/Manifest"
    assert distfile_digests(manifest, ["zlib.tar.xz", "absent"]) == {"zlib.tar.xz": "5 BLAKE2B 11"}
    assert distfile_digests(manifest, []) == distfile_digests(tree / "Manifest", ["zlib.tar.xz"]) == {}


def test_ingredients_are_kept(tree: Path, tmp_path: Path) -> None:
    made_of = ingredients(plan(tree), MACHINE)
    write_ingredients(tmp_path / "ingredients.json", made_of)
    again = read_ingredients(tmp_path / "ingredients.json")
    assert again == made_of
    assert again.keys() == package_keys(plan(tree), MACHINE)
    assert made_of.closures["lib/zlib-1"] == ["lib/musl-1"]
    text = (tmp_path / "ingredients.json").read_text()
    assert made_of.tools == {"lib/zlib-1": ["perl 5"], "lib/python-1": ["perl 5"]}  # by plan() all may have phases
    for damaged in ("", '{"variables": ', "[]", '{"check": 1}', text.replace("zlib", "glib"), text.replace("{", "[")):
        (tmp_path / "ingredients.json").write_text(damaged)
        assert read_ingredients(tmp_path / "ingredients.json") is None


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert file_digest(tmp_path / "file") == expected


def test_a_manifest_that_is_not_utf_8(tree: Path) -> None:
    manifest = tree / "lib/zlib/Manifest"
    manifest.write_bytes(b"DIST caf\xe9.tar.xz 1 BLAKE2B 44\n" + manifest.read_bytes())
    assert distfile_digests(manifest, ["zlib.tar.xz"]) == {"zlib.tar.xz": "5 BLAKE2B 11"}
