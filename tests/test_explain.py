"""explain:NAME: what it announces is what the next `doit image:NAME` does, and it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.portage import places
from quern.steps.chain import STEPS
from quern.steps.differences import differences
from tests.building import CHECKOUT, Project, built, snapshot
from tests.conftest import Stock
from tests.projects import write
from tests.test_emerging import TREE, ebuild

NAMES = [step.name for step in STEPS]

CONF = """\
[portage]
repositories = ./tree
[postbuild]
engines = none
[strip]
doc = off
[dockergen]
user = nobody
"""
PROFILE = {
    "repo_name": "images\n",
    "one/quern.conf": CONF,
    "one/parent": "lab:image\n",
    "one/package.use": "# flags\nlab/top -extra\n",
}
LAB = {
    **TREE,
    "eclass/used.eclass": "",
    "lab/top/top-1.ebuild": ebuild(
        'inherit used\nIUSE="extra"\nDEPEND="lab/base lab/headers"\nRDEPEND="lab/base lab/leaf:= extra? ( lab/other )"'
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Project:
    """A project whose image is built."""
    folder = tmp_path_factory.mktemp("explain") / "project"
    write(folder, {"dodo.py": (CHECKOUT / "dodo.py").read_text()})
    write(folder / "profiles", PROFILE)
    write(folder / "tree", LAB)
    project = Project(folder)
    stock(folder / "build/binpkgs", without="other-*")  # which a change is to bring
    project.doit("image:one")
    return project


def explained(project: Project) -> dict[str, dict[str, object]]:
    """The verdicts, by step; nothing may be touched by asking."""
    before = snapshot(project.folder)
    output = project.doit("-r", "zero", "explain:one", "--json")
    after = snapshot(project.folder)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert {os.path.basename(path) for path in changed} <= {".doit.db"}  # doit's own
    return {verdict["step"]: verdict for verdict in json.loads(output)}


def receipts(project: Project) -> dict[str, int]:
    return {name: (project.folder / f"build/one/{name}.json").stat().st_ino for name in NAMES}


def proved(project: Project) -> dict[str, dict[str, object]]:
    """What is announced, after the run that shows it right."""
    verdicts = explained(project)
    before = receipts(project)
    output = project.doit("image:one")
    after = receipts(project)
    ran = {name for name in NAMES if before[name] != after[name]}
    surely = {name for name, verdict in verdicts.items() if verdict["state"] == "runs"}
    perhaps = {name for name, verdict in verdicts.items() if verdict["state"] == "may run"}
    assert surely <= ran <= surely | perhaps
    announced = verdicts["packages"]["built"]
    maybe = verdicts["packages"]["maybe"]
    assert isinstance(announced, dict)
    assert isinstance(maybe, list)
    assert set(announced) - set(maybe) <= set(built(output)) <= set(announced)
    assert all(verdict["state"] == "up to date" for verdict in explained(project).values())
    return verdicts


def test_nothing_to_do(project: Project) -> None:
    assert {verdict["state"] for verdict in explained(project).values()} == {"up to date"}
    text = project.doit("explain:one")
    assert "one: packages  up to date" in text


def touch_everything(folder: Path) -> None:
    for path in sorted([*(folder / "profiles").rglob("*"), *(folder / "tree").rglob("*")]):
        os.utime(path)


def conf(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "profiles/one/quern.conf"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def files(named: dict[str, str]) -> Callable[[Path], None]:
    return lambda folder: void(write(folder, named))


def void(_: object) -> None:
    """Of a lambda whose value is of no use."""


@pytest.mark.emerge
@pytest.mark.parametrize(
    ("change", "first", "words", "packages"),
    [
        (touch_everything, None, "", []),
        (files({"tree/lab/broken/broken-1.ebuild": ebuild("# edited")}), None, "", []),
        (
            conf("user = nobody", "user = app"),
            "image",
            "[dockergen] user nobody -> app (profiles/one/quern.conf:8)",
            [],
        ),
        (conf("doc = off", "paths = /usr/share/lab/leaf"), "strip", "[strip] +/usr/share/lab/leaf", []),
        (
            files({"profiles/one/package.use": "# flags\nlab/top extra\n"}),
            "portage",
            "lab/top USE +extra (profiles/one/package.use:2)",
            ["lab/top-1", "lab/other-1"],
        ),
        (
            files({"tree/lab/base/base-1.ebuild": ebuild(body='echo more >> "${ED}/usr/share/lab/base"')}),
            "packages",
            "lab/base ebuild changed",
            ["lab/base-1", "lab/top-1"],
        ),
        (files({"tree/eclass/used.eclass": "# edited\n"}), "packages", "lab/top eclass used changed", ["lab/top-1"]),
        (files({"tree/profiles/package.mask": "lab/thief\n"}), "packages", "tree/profiles", []),
        (
            files({"tree/lab/leaf/leaf-2.ebuild": ebuild(slot="0/2")}),
            "packages",
            "lab/leaf 1 -> 2",
            ["lab/leaf-2"],
        ),
        (
            files(
                {"profiles/one/packages": "lab/broken-free\n", "tree/lab/broken-free/broken-free-1.ebuild": ebuild()}
            ),
            "portage",
            "+ lab/broken-free-1 (profiles/one/packages:1)",
            ["lab/broken-free-1"],
        ),
    ],
    ids=["touch", "unrelated", "label", "strip", "use", "ebuild", "eclass", "mask", "version", "package"],
)
def test_what_is_announced_is_what_runs(
    project: Project, change: Callable[[Path], None], first: str | None, words: str, packages: list[str]
) -> None:
    change(project.folder)
    verdicts = proved(project)
    states = {name: str(verdict["state"]) for name, verdict in verdicts.items()}
    before = NAMES[: NAMES.index(first)] if first else NAMES
    assert {states[name] for name in before} <= {"up to date"}
    if first:
        assert states[first] == "runs"
        assert any(words in reason for verdict in verdicts.values() for reason in verdict["reasons"])  # type: ignore[attr-defined]
    assert sorted(verdicts["packages"]["built"]) == sorted(packages)  # type: ignore[call-overload]


@pytest.mark.emerge
def test_a_package_that_is_not_installed_stops_the_chain(project: Project) -> None:
    """An edit that gives the same binary package content: the root is made again, and nothing after it."""
    text = (project.folder / "tree/lab/headers/headers-1.ebuild").read_text()
    write(project.folder, {"tree/lab/headers/headers-1.ebuild": f"{text}# edited\n"})
    verdicts = proved(project)
    assert [verdicts[name]["state"] for name in NAMES] == [
        "up to date", "runs", "runs", "may run", "may run", "may run",
    ]  # fmt: skip


@pytest.mark.emerge
def test_what_was_removed_is_put_back(project: Project) -> None:
    (removed,) = [path for path in (project.folder / "images").iterdir() if path.suffix == ".gz"]
    removed.unlink()
    verdict = proved(project)["tarball"]
    assert (verdict["state"], verdict["reasons"]) == ("puts back", [f"images/{removed.name} is gone"])
    assert removed.exists()
    shutil.rmtree(project.folder / "build/one/strip")
    verdicts = proved(project)
    assert [verdicts[name]["state"] for name in NAMES[3:]] == ["runs", "may run", "may run"]


@pytest.mark.emerge
def test_a_lock_that_does_not_hold(project: Project) -> None:
    """Whether the plan has moved, or the lock: no more is announced than is done."""
    locked = {"QUERN_BUILD_LOCK": "one.lock", "QUERN_BUILD_LOCKED": "on"}
    project.doit("lock:one", variables=locked)
    path = project.folder / "one.lock"
    text = path.read_text()
    ebuild_of_leaf = max((project.folder / "tree/lab/leaf").glob("*.ebuild"))  # a test before may have added leaf-2
    former = ebuild_of_leaf.read_text()
    try:
        assert "fails" not in project.doit("explain:one", variables=locked)
        path.write_text(text.replace("lab/leaf-", "lab/leaf-0."))
        assert "one: packages  fails: one.lock: build.locked is on" in project.doit("explain:one", variables=locked)
        project.doit("image:one", status=1, variables=locked)
        path.write_text(text)
        ebuild_of_leaf.write_text(f"{former}# edited\n")
        assert "lab/leaf ebuild changed" in project.doit("explain:one", variables=locked)
        project.doit("image:one", status=1, variables=locked)
    finally:
        ebuild_of_leaf.write_text(former)
        path.unlink()


@pytest.mark.emerge
def test_what_the_user_has_is_left_alone(project: Project) -> None:
    """Not even an empty folder is made where sources will be; and a daemon that is required and absent is an error."""
    folder = project.folder.parent / "sources"
    write(project.folder, {"tree/profiles/package.mask": "lab/thief\nlab/broken\n"})
    variables = {"QUERN_PORTAGE_DISTFILES": str(folder), "QUERN_POSTBUILD_ENGINES": "docker"}
    variables["DOCKER_HOST"] = f"unix://{folder}/no.sock"
    text = project.doit("explain:one", variables=variables)
    assert "one: packages  runs" in text
    assert "one: image     may run" in text or "no docker daemon" in text
    assert not folder.exists()


@pytest.mark.emerge
def test_what_will_fail(project: Project) -> None:
    path = project.folder / "profiles/one/packages"
    former = path.read_text() if path.exists() else ""  # as the tests before have left it
    path.write_text("lab/absent\n")
    try:
        text = project.doit("explain:one")
        assert "one: packages  fails: " in text
        assert "lab/absent" in text
        assert "one: root" not in text
    finally:
        path.write_text(former)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"profiles/one/packages": "lab/absent\n"}, "no repository has lab/absent"),
        ({"tree/lab/leaf/leaf-1.ebuild": "EAPI=8\nSLOT=0\nif true; then\n"}, "lab/leaf"),
    ],
    ids=["absent", "broken"],
)
def test_no_file_of_the_temporary_folder_is_named(tmp_path: Path, files: dict[str, str], said: str) -> None:
    """It is gone when the message is read."""
    write(tmp_path, {"dodo.py": (CHECKOUT / "dodo.py").read_text()})
    write(tmp_path / "profiles", {**PROFILE, "one/packages": "lab/leaf\n"})
    write(tmp_path / "tree", LAB)
    write(tmp_path, {"temporary/file": "", **files})
    text = Project(tmp_path, {"TMPDIR": str(tmp_path / "temporary")}).doit("explain:one")
    assert "one: packages  fails: " in text
    assert said in text
    assert str(tmp_path / "temporary") not in text
    assert "log:" not in text
    write(tmp_path, {"odd folder/file": ""})
    text = Project(tmp_path, {"TMPDIR": str(tmp_path / "odd folder")}).doit("explain:one")
    assert "' ' in its path would end a build in its middle; set TMPDIR" in text


def test_differences_in_words() -> None:
    before = {
        "rules": ["/a", "/b"],
        "dockergen": {"user": None, "env": [["A", "1"]], "tag": "x"},
        "stack": [["/p/base", {"eapi": "1", "use.mask": "2"}]],
        "machine": ["0" * 64, "/usr/bin/gcc 1 2", "binhost http://a/"],
        "root": "sha256:1",
        "version": "1",
        "archive": "/images/a.oci.tar",
    }
    now = {
        "rules": ["/b", "/c"],
        "dockergen": {"user": "app", "env": [["A", "2"], ["B", "3"]], "tag": "x"},
        "stack": [["/p/base", {"eapi": "2", "parent": "3"}]],
        "machine": ["1" * 64, "/usr/bin/gcc 3 4"],
        "root": "sha256:2",
        "version": "2",
        "archive": "/images/b.oci.tar",
    }
    assert differences(before, before, {}) == []
    assert differences(before, now, {"dockergen.env": "f:3"}) == [
        "the archive's path /images/a.oci.tar -> /images/b.oci.tar",
        "[dockergen] env A=1 -> A=2 B=3 (f:3)",
        "[dockergen] user unset -> app",
        "/usr/bin/gcc changed",
        "[portage] binhost http://a/",
        "another Portage",
        "the image root changed",
        "[strip] +/c",
        "[strip] -/a",
        "/p/base/eapi changed",
        "/p/base/parent added",
        "/p/base/use.mask removed",
        "quern changed",
    ]


def test_places(tmp_path: Path) -> None:
    base, image = tmp_path / "base", tmp_path / "image"
    write(base, {"packages": "*sys-apps/a\n>=lib/b-1.2:3\n", "make.defaults": 'X="1"\nPYTHON_TARGETS="py3 -py2"\n'})
    write(image, {"package.use/first": "lib/b ssl\n", "package.use/second": "# x\nlib/b -ssl\nlib/c ssl zlib\n"})
    folders = (base, image)
    assert places.of_package("lib/b", folders) == f"{base}/packages:2"
    assert places.of_package("sys-apps/a", folders) == f"{base}/packages:1"
    assert places.of_package("lib/c", folders) == ""
    assert places.of_flag("lib/b", "ssl", folders) == f"{image}/package.use/second:2"
    assert places.of_flag("lib/c", "zlib", folders) == f"{image}/package.use/second:3"
    assert places.of_flag("lib/c", "python_targets_py2", folders) == f"{base}/make.defaults:2"
    assert places.of_flag("lib/c", "absent", folders) == ""
