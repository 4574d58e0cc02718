"""The watch set: what is noticed, and what is not worth a resolve."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.drivers.raw import RawDriver
from quern.portage import watch
from quern.steps.base import Run, is_current, run_step
from quern.steps.chain import steps_of
from tests.conftest import Stock
from tests.projects import Said, image_of, run, write
from tests.test_emerging import TREE, Lab, ebuild

FUTURE = 1 << 62  # nanoseconds: as if everything had been there for long


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "tree", {"file": "one", "folder/a": "", "tool": "x"})
    (tmp_path / "tree/link").symlink_to("file")
    return tmp_path / "tree"


def paths(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("file", "folder", "tool", "link", "absent", "absent/deeper")]


@pytest.mark.parametrize("now", [FUTURE, 0], ids=["stat", "content"])
@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda folder: (folder / "file").write_text("two"), ["file", "link"]),
        (lambda folder: (folder / "file").unlink(), ["file", "link"]),
        (lambda folder: (folder / "folder/b").touch(), ["folder"]),
        (lambda folder: (folder / "folder/a").rename(folder / "folder/c"), ["folder"]),
        (lambda folder: (folder / "tool").chmod(0o755), ["tool"]),
        (lambda folder: (folder / "absent").touch(), ["absent"]),
        (lambda folder: (folder / "absent/deeper").mkdir(parents=True), ["absent", "absent/deeper"]),
        (lambda folder: replace_by_link(folder / "link", "tool"), ["link"]),
        (lambda folder: replace_by_link(folder / "link", "./file"), ["link"]),  # a copy of the link would differ
        (lambda folder: replace_by_link(folder / "tool", "absent"), ["tool"]),
        (lambda folder: replace_by_pipe(folder / "tool"), ["tool"]),
        (lambda folder: same_size_and_time(folder / "file"), ["file", "link"]),
        (lambda folder: (folder / "folder/a").write_text("of no concern"), []),
        (lambda folder: os.utime(folder / "file", (1, 1)), []),
        (lambda folder: again(folder / "file"), []),
        (lambda folder: again(folder / "folder/a"), []),
    ],
)
def test_a_change(folder: Path, now: int, change: Callable[[Path], object], changed: list[str]) -> None:
    record = folder.parent / "watch.json"
    before = watch.write(record, watch.look(paths(folder)), now)
    assert watch.digest(record) == before
    assert watch.changes(record) == []
    change(folder)
    assert watch.changes(record) == sorted(str(folder / name) for name in changed)
    assert (watch.digest(record) == before) == (not changed)


def replace_by_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text("two")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def again(path: Path) -> None:
    """As a version control system checks out."""
    text = path.read_text()
    path.unlink()
    path.write_text(text)


def test_content_is_read_again_only_where_times_have_changed(folder: Path) -> None:
    record = folder.parent / "watch.json"
    seen = watch.look(paths(folder))
    watch.write(record, seen, FUTURE)
    data = json.loads(record.read_text())
    data["digest"] = "sha256:recorded"
    record.write_text(json.dumps(data))
    assert watch.digest(record) == "sha256:recorded"
    os.utime(folder / "file")
    assert watch.digest(record) != "sha256:recorded"


ODD = [f'{{"format": 1, "digest": "sha256:0", "watched": {rows}}}' for rows in ("1", "[1]", "[[1, 2, 3]]", "[[]]")]


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"format": 0}', "null", *ODD])
def test_no_record(tmp_path: Path, text: str | None) -> None:
    record = tmp_path / "watch.json"
    if text is not None:
        record.write_text(text)
    assert watch.digest(record) == ""
    assert watch.changes(record) == []


def test_what_is_newer(folder: Path) -> None:
    seen = watch.look([str(folder / "file"), str(folder / "absent")])
    changed = (folder / "file").stat().st_ctime_ns
    assert watch.is_newer(seen, changed)
    assert not watch.is_newer(seen, changed + 1)


def test_a_tree_with_loops_and_links_to_folders(folder: Path) -> None:
    write(folder.parent / "other", {"deep/file": ""})
    (folder / "folder/self").symlink_to("..")
    (folder / "folder/other").symlink_to(folder.parent / "other")
    found = watch.tree(str(folder / "folder"))
    assert str(folder / "folder/other/deep/file") in found
    assert watch.tree(str(folder / "absent")) == [str(folder / "absent")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Lab:
    """An image whose packages are built, in a tree with much else in it."""
    lab = Lab(tmp_path_factory.mktemp("built"))
    stock(lab.folder / "binpkgs")
    for number in range(20):
        write(lab.tree, {f"lab/far{number}/far{number}-1.ebuild": ebuild()})
    write(lab.tree, {"eclass/far.eclass": "", "metadata/md5-cache/lab/far1-1": "", "lab/base/metadata.xml": ""})
    lab.build()
    return lab


@pytest.mark.emerge
def test_only_what_matters_is_watched(built: Lab) -> None:
    rows = json.loads((built.folder / "work/packages/watch.json").read_text())["watched"]
    tree = f"{built.tree}/"
    names = {path.removeprefix(tree) for path, _, _ in rows}
    assert not any("far" in name for name in names)
    assert {"lab/base", "lab/base/base-1.ebuild", "lab/base/Manifest", "lab/base/files", "profiles/image"} <= names
    assert {"profiles/image/make.defaults", "profiles", "eclass", "metadata/layout.conf"} <= names
    assert "metadata/md5-cache/lab/base-1" in names
    assert all(path.startswith(tree) for path, _, _ in rows)


@pytest.mark.emerge
@pytest.mark.parametrize(
    ("files", "runs"),
    [
        ({"lab/far1/far1-2.ebuild": ebuild()}, False),
        ({"lab/far1/far1-1.ebuild": ebuild("# edited")}, False),
        ({"lab/new/new-1.ebuild": ebuild()}, False),
        ({"eclass/far.eclass": "# edited"}, False),
        ({"metadata/md5-cache/lab/far1-1": "x"}, False),
        ({"lab/base/metadata.xml": "edited"}, False),
        ({"lab/base/base-2.ebuild": ebuild()}, True),
        ({"lab/base/files/a.patch": ""}, True),
        ({"lab/base/Manifest": ""}, True),
        ({"lab/top/top-1.ebuild": ebuild('RDEPEND="lab/base lab/leaf:="')}, True),
        ({"profiles/package.mask": "lab/leaf\n"}, True),
        ({"profiles/image/package.use": "lab/top a\n"}, True),
        ({"profiles/image/profile.bashrc": ""}, True),
        ({"eclass/new.eclass": ""}, True),
        ({"metadata/md5-cache/lab/base-1": "DEFINED_PHASES=-\n"}, True),
    ],
)
def test_what_makes_the_packages_run(built: Lab, files: dict[str, str], runs: bool) -> None:
    packages = steps_of(built.image)[1]
    assert is_current(packages)
    kept = {name: (built.tree / name).read_text() for name in files if (built.tree / name).exists()}
    folders = [built.tree / name for name in files if not (built.tree / name).parent.exists()]
    try:
        write(built.tree, files)
        assert is_current(packages) != runs
    finally:
        for name in files:
            (built.tree / name).unlink()
        for path in folders:
            shutil.rmtree(path.parent)
        write(built.tree, kept)
    assert is_current(packages)


@pytest.mark.emerge
def test_a_changed_watch_set_with_the_same_plan_costs_no_emerge(tmp_path: Path, stock: Stock) -> None:
    lab = Lab(tmp_path)
    stock(tmp_path / "binpkgs")
    lab.build()
    shutil.rmtree(tmp_path / "binpkgs")  # the image's own view has them
    write(lab.tree, {"profiles/package.mask": "lab/other\n"})
    assert lab.build() == ["packages"]
    assert lab.emerged() == []
    assert lab.build() == []


@pytest.mark.emerge
def test_a_sync_while_it_resolves(tmp_path: Path) -> None:
    """An edit between the resolver's reading and ours must not be taken for what was resolved."""
    from quern.steps import resolution
    from tests.projects import source_build

    write(tmp_path / "tree", TREE)
    write(tmp_path, {"lab.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n"})
    build = source_build(image_of(tmp_path / "lab.conf", tmp_path / "work"))

    class Syncing:
        """The driver; after the first resolve, the tree has a new version."""

        def __init__(self) -> None:
            self.calls = 0

        def __getattr__(self, name: str) -> object:
            return getattr(build.run.driver, name)

        def call(self, verb: str, **words: object) -> object:
            answer = build.run.driver.call(verb, **words)  # type: ignore[arg-type]
            self.calls += verb == "resolve"
            if self.calls == 1:
                write(tmp_path / "tree", {"lab/base/base-2.ebuild": ebuild()})
            return answer

    from dataclasses import replace

    syncing = Syncing()
    found = resolution.resolve(replace(build, run=build.run._replace(driver=syncing)), ["@profile"])  # type: ignore[arg-type]
    assert syncing.calls in (2, 3)  # a clock of few ticks may want one more
    assert "lab/base-2" in [package.cpv for package in found.plan.packages]


@pytest.mark.emerge
def test_an_edit_while_it_builds_is_seen_by_the_next_run(tmp_path: Path, stock: Stock) -> None:
    lab = Lab(tmp_path)
    stock(tmp_path / "binpkgs")
    newer = tmp_path / "tree/lab/base/base-2.ebuild"
    edit = f"cp {lab.tree}/lab/base/base-1.ebuild {newer}"
    write(lab.tree, {"lab/leaf/leaf-1.ebuild": ebuild(slot="0/1", body=edit)})
    for step in steps_of(lab.image)[:2]:
        run_step(step, Run(RawDriver(), Said()))  # not confined, or it could not write there
    assert newer.exists()
    lab.build()
    assert lab.emerged() == ["lab/base-2", "lab/leaf-1", "lab/top-1"]  # confined now: another key


@pytest.mark.emerge
def test_what_is_sourced_while_a_package_is_built(tmp_path: Path) -> None:
    """The files that a profile's package.bashrc names, and a repository's checks of what is installed."""
    lab = Lab(tmp_path)
    formats = TREE["metadata/layout.conf"].replace("profile-set", "profile-set profile-bashrcs")
    appends = 'echo {} >> "${{ED}}/usr/share/lab/{}"\n'
    files = {
        "profiles/image/packages": "lab/base\nlab/leaf\n",
        "metadata/layout.conf": formats,
        "profiles/image/package.bashrc": "lab/leaf leaf.sh\n",
        "profiles/image/bashrc/leaf.sh": f"post_src_install() {{ {appends.format('one', 'leaf')} }}\n",
        "metadata/install-qa-check.d/10lab": f"[[ ${{PN}} != base ]] || {appends.format('one', 'base')}",
    }
    write(lab.tree, files)
    lab.build()
    assert lab.installed()["leaf"] == "leaf-1\none"
    assert lab.installed()["base"] == "base-1\none"
    for name in ("profiles/image/bashrc/leaf.sh", "metadata/install-qa-check.d/10lab"):
        write(lab.tree, {name: files[name].replace("one", "two")})
    lab.build()
    assert lab.installed()["leaf"] == "leaf-1\ntwo"
    assert lab.installed()["base"] == "base-1\ntwo"


@pytest.mark.emerge
def test_a_project_inside_a_repository(tmp_path: Path) -> None:
    """What is written in the work folder while it resolves is nothing that the plan depends on."""
    tree = write(tmp_path / "tree", {**TREE, "profiles/image/packages": "lab/leaf\n"})
    write(tree, {"lab.conf": "[portage]\nrepositories = ./\n[build]\nprofile = lab:image\n"})
    first, again = (
        [step.name for step in steps_of(image_of(tree / "lab.conf", tree / "build/lab"))[:2] if run_step(step, run())]
        for _ in range(2)
    )
    assert (first, again) == (["portage", "packages"], [])
