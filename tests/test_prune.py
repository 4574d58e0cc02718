"""`doit prune`: it shows and removes the same, no more, and not while a build is at it."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from quern.fetching.folder import RECORD
from quern.project import Image, project_images
from quern.questions import PRUNE
from quern.questions.pruning import disk
from quern.steps.lock import locked
from tests.building import CHECKOUT, Project, built, snapshot
from tests.conftest import tool
from tests.projects import Said, write
from tests.test_emerging import TREE, ebuild
from tests.test_tasks import TREE as SMALL_TREE
from tests.test_unneeded import fetched, worked

CONF = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    """The images of a project that share nothing yet."""
    write(tmp_path, {"profiles/one/quern.conf": "", "profiles/two/quern.conf": ""})
    return project_images(tmp_path, {})


def pruned(images: list[Image], yes: bool = False) -> list[str]:
    said = Said()
    PRUNE.answer(images, said, yes=yes)
    return said.lines


def shown(lines: list[str], folder: Path) -> set[str]:
    """The paths of what is, or would be, removed."""
    here = [number for number, line in enumerate(lines) if line.endswith(":")]
    rows = [line.split("  ")[-1] for line in lines[here[0] :] if "  " in line] if here else []
    return {os.path.relpath(folder / row, folder) for row in rows}


def test_what_is_shown_is_what_is_removed(images: list[Image], tmp_path: Path) -> None:
    worked(images[0].work)
    worked(tmp_path / "build/old")
    write(tmp_path, {"build/old/notes": "mine", "images/old.oci.tar": "finished"})
    before = snapshot(tmp_path)
    lines = pruned(images)
    assert snapshot(tmp_path) == before  # dry unless told
    left = {f"build/one/{name}" for name in (".packages.new", ".packages.json.new", "checkpoints")}
    assert shown(lines, tmp_path) == {*left, "build/old"}
    assert "would be freed; `doit prune --yes` removes all of it" in lines[-1]
    assert pruned(images, yes=True)[:-1] == lines[:-1]
    gone = {os.path.relpath(path, tmp_path) for path in before.keys() - snapshot(tmp_path).keys()}
    ours = {path for path in gone if path.startswith(("build/one/.packages.", "build/one/checkpoints"))}
    assert gone - ours == {
        os.path.relpath(path, tmp_path) for path in before if f"{tmp_path}/build/old/" in path and "notes" not in path
    }
    assert {"build/one/.packages.new", "build/one/.packages.json.new"} <= ours
    assert (tmp_path / "build/old/notes").read_text() == "mine"
    assert (tmp_path / "images/old.oci.tar").exists()
    assert pruned(images, yes=True)[-1] == "Nothing to remove"


def test_nothing_is_made_for_images_that_are_not_built(images: list[Image], tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    assert pruned(images, yes=True) == ["Nothing to remove"]
    assert snapshot(tmp_path) == before


def test_a_build_is_waited_for(images: list[Image]) -> None:
    """Without --yes it is not: what builds leave is not looked at then."""
    work = worked(images[0].work)
    waiting = threading.Event()
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if line.startswith("Waiting for process"):
            waiting.set()

    with locked(work / "lock", say):
        assert "one is being built: what that has made so far is not looked at" in pruned(images)
        other = threading.Thread(target=lambda: PRUNE.answer(images, say, yes=True))
        other.start()
        assert waiting.wait(60)
        (work / ".packages.new").rename(work / "packages")  # the build comes to its end
    other.join()
    assert (work / "packages").is_dir()
    assert not (work / ".packages.json.new").exists()


def test_folders_that_others_may_use(tmp_path: Path) -> None:
    """They are shown, with what is in them, and left alone."""
    conf = f"[portage]\ndistfiles = {tmp_path}/d\nbinpkg = {tmp_path}/b\n"
    write(tmp_path / "mine", {"profiles/one/quern.conf": conf})
    package = f"b/sys-libs/zlib-1-{'a' * 32}"
    write(tmp_path, {"d/old.tar": "x", f"{package}.index": "", f"{package}.gpkg.tar": ""})
    fetched(tmp_path / "d", "old.tar")
    images = project_images(tmp_path / "mine", {})
    before = snapshot(tmp_path)
    lines = pruned(images, yes=True)
    assert [line.split("  ")[-1] for line in lines] == [
        f"{tmp_path}/b: 2 files; not in the project's folder, so nothing is removed there",
        f"{tmp_path}/d: 1 files; not in the project's folder, so nothing is removed there",
        "Nothing to remove",
    ]
    assert snapshot(tmp_path) == before


def test_where_a_need_is_not_known_nothing_shared_is_removed(images: list[Image], tmp_path: Path) -> None:
    """`one` has no profile: who knows what it will need when it has one again."""
    worked(images[0].work)
    write(tmp_path, {"build/distfiles/old.tar": "x"})
    fetched(tmp_path / "build/distfiles", "old.tar")
    lines = pruned(images, yes=True)
    assert any(line.startswith("What one needs is not known, so packages and sources are kept: ") for line in lines)
    assert (tmp_path / "build/distfiles/old.tar").exists()
    assert not (images[0].work / ".packages.new").exists()


def test_what_would_be_freed(tmp_path: Path) -> None:
    """A file with another name elsewhere takes room, and removing one of its names gives none back."""
    write(tmp_path, {"a/1": "x" * 5000, "a/2": "x" * 5000, "b/3": ""})
    one = disk([tmp_path / "a/1"]).size
    (tmp_path / "a/again").hardlink_to(tmp_path / "a/1")
    (tmp_path / "b/elsewhere").hardlink_to(tmp_path / "a/2")
    folder = disk([tmp_path / "a"])
    assert folder.size - folder.freed == disk([tmp_path / "b/elsewhere"]).size == one
    seen: set[tuple[int, int]] = set()
    assert disk([tmp_path / "a"], seen).size - disk([tmp_path / "a"]).size == 0
    assert disk([tmp_path / "b/elsewhere"], seen).size == 0


def test_as_a_task(tmp_path: Path) -> None:
    """Hostile names are shown on one line each, and a message is no traceback."""
    files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/one/quern.conf": CONF, **SMALL_TREE}
    files |= {"profiles/repo_name": "images\n", "profiles/one/parent": "tree:base\n"}
    files |= {"profiles/one/packages": "app-misc/one\n"}
    project = Project(write(tmp_path, files))
    worked(tmp_path / "build" / os.fsdecode(b"two\nlines \xe9"))
    write(tmp_path, {"build/distfiles/old.tar": "x" * 5000})
    fetched(tmp_path / "build/distfiles", "old.tar")
    output = project.doit("prune")
    assert output.startswith(".  prune\n")
    assert "build/two\\nlines \\xe9" in output
    assert "Resolving one, to see what its next build needs" in output
    assert "build/distfiles/old.tar" in output
    assert "--yes" in project.doit("help", "prune")
    assert "Removed; " in project.doit("prune", "--yes")
    assert os.listdir(tmp_path / "build/distfiles") == [RECORD]
    assert os.listdir(tmp_path / "build") == ["distfiles"]


@pytest.mark.emerge
def test_what_is_kept_and_what_going_back_costs(tmp_path: Path) -> None:
    """Kept are the packages of the last build, and of the next one; those of builds before are built again."""
    tool("scanelf", "pax-utils")
    write(tmp_path, {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"})
    write(tmp_path, {"profiles/one/quern.conf": CONF, "profiles/one/parent": "lab:image\n"})
    write(tmp_path / "tree", {**TREE, "profiles/image/packages": "lab/leaf\n"})
    project, leaf = Project(tmp_path), "tree/lab/leaf/leaf-1.ebuild"
    former, edited = TREE["lab/leaf/leaf-1.ebuild"], ebuild("# edited")
    project.doit("packages:one")
    first = packages(tmp_path)
    write(tmp_path, {leaf: edited})
    assert built(project.doit("packages:one")) == ["lab/leaf-1"]
    assert first < packages(tmp_path)

    write(tmp_path, {leaf: former})  # taken back: the next build would want that of the first
    assert "Nothing to remove" in project.doit("prune", "--yes")
    write(tmp_path, {leaf: edited})
    before = snapshot(tmp_path / "build")
    output = project.doit("prune")
    assert snapshot(tmp_path / "build") == before
    project.doit("prune", "--yes")
    gone = {os.path.relpath(path, tmp_path) for path in before.keys() - snapshot(tmp_path / "build").keys()}
    (stem,) = {path.removesuffix(".index").removesuffix(".gpkg.tar") for path in gone}
    assert gone == {f"{stem}.index", f"{stem}.gpkg.tar"}
    assert f"  {stem}.{{gpkg.tar,index}}\n" in output
    assert {f"{os.path.basename(stem)}.gpkg.tar"} == first

    assert project.doit("packages:one") == "-- portage:one\n-- packages:one\n"
    shutil.rmtree(tmp_path / "build/one")
    assert built(project.doit("packages:one")) == []
    write(tmp_path, {leaf: former})
    assert built(project.doit("packages:one")) == ["lab/leaf-1"]


def packages(folder: Path) -> set[str]:
    """What the store of a project holds."""
    return {path.name for path in (folder / "build/binpkgs").glob("*/*.gpkg.tar")}
