"""The lock in the project: kept up to date by builds, or what they are held to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.steps.base import is_current, run_step
from quern.steps.chain import steps_of
from tests.conftest import tool
from tests.projects import Said, run, write
from tests.test_emerging import TREE, Lab, ebuild

pytestmark = pytest.mark.emerge

ECLASS = "# what two packages inherit\n"
LEAF = 'IUSE="small"\ninherit common'


class LockedLab(Lab):
    """An image of two packages, with a lock beside its configuration."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.lock = folder / "lab.lock"
        write(
            self.tree,
            {
                "profiles/image/packages": "lab/leaf\nlab/base\n",
                "eclass/common.eclass": ECLASS,
                "lab/leaf/leaf-1.ebuild": ebuild(LEAF),
                "lab/leaf/files/fix.patch": "a patch\n",
                "lab/base/base-1.ebuild": ebuild("inherit common"),
            },
        )
        self.set_locked(False)

    def set_locked(self, locked: bool) -> None:
        """Write the configuration."""
        text = "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\nlock = lab.lock\n"
        write(self.folder, {"lab.conf": text + ("locked = on\n" if locked else "")})

    def build(self) -> list[str]:
        """Run the steps up to the packages; give the names of those that ran."""
        said = Said()
        try:
            return [step.name for step in steps_of(self.image)[:2] if run_step(step, run(said))]
        finally:
            self.said = said.lines

    def refusal(self) -> list[str]:
        """The lines of the error that a build ends with, before anything is built."""
        with pytest.raises(BuildError) as error:
            self.build()
        assert not any("emerge" in line for line in self.said)
        return str(error.value).splitlines()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> LockedLab:
    """An image that is built, its lock written; to be looked at only."""
    tool("scanelf", "pax-utils")
    lab = LockedLab(tmp_path_factory.mktemp("built"))
    lab.build()
    return lab


@pytest.fixture
def lab(built: LockedLab, tmp_path: Path) -> LockedLab:
    """The same image, built."""
    for name in ("work", "binpkgs", "lab.lock"):
        source = built.folder / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copyfile(source, tmp_path / name)
    return LockedLab(tmp_path)


def test_a_build_writes_the_lock(built: LockedLab) -> None:
    made = built.folder / "work/packages/packages.lock"
    assert built.lock.read_text() == made.read_text()
    assert not built.lock.samefile(made)
    assert f"{built.lock} says now what was resolved" in built.said
    assert not list(built.folder.glob(".*"))


def test_it_is_brought_back_without_a_build(lab: LockedLab) -> None:
    lab.build()
    text = lab.lock.read_text()
    os.utime(lab.lock, (5, 5))
    assert lab.build() == []
    assert (lab.said, lab.lock.stat().st_mtime) == ([], 5)

    for edited in (None, text.replace("leaf-1", "leaf-0"), f"{text}<<<<<<< HEAD\n"):
        lab.lock.unlink() if edited is None else lab.lock.write_text(edited)
        assert not is_current(steps_of(lab.image)[1])
        assert lab.build() == []
        assert lab.said == [f"{lab.lock} says now what was resolved"]
        assert lab.lock.read_text() == text


def test_another_file_is_not_overwritten(lab: LockedLab) -> None:
    lab.build()
    write(lab.folder, {"lab.lock": "[[package]]\nname = 'cargo has locks too'\n"})
    assert lab.refusal() == [f"{lab.lock}: build.lock: this is not a lock that quern wrote; name another file"]
    shutil.rmtree(lab.folder / "work")
    assert lab.refusal() == [f"{lab.lock}: build.lock: this is not a lock that quern wrote; name another file"]
    assert "cargo" in lab.lock.read_text()


@pytest.fixture
def clone(built: LockedLab, tmp_path: Path) -> LockedLab:
    """Another copy of the project, locked, with nothing built."""
    clone = LockedLab(tmp_path / "clone")
    shutil.copyfile(built.lock, clone.lock)
    clone.set_locked(True)
    return clone


def test_locked_in_another_folder_with_an_empty_store(built: LockedLab, clone: LockedLab) -> None:
    write(clone.tree, {"profiles/image/make.defaults": TREE["profiles/image/make.defaults"] + 'CFLAGS="-O1"\n'})
    clone.build()
    assert clone.emerged() == ["lab/base-1", "lab/leaf-1"]
    assert clone.lock.read_text() == built.lock.read_text()


@pytest.mark.parametrize(
    ("files", "moves"),
    [
        ({"lab/leaf/leaf-2.ebuild": ebuild(LEAF, slot="0/2")}, ["lab/leaf 1 -> 2, slot 0 -> 0/2"]),
        ({"profiles/image/package.use": "lab/leaf small\n"}, ["lab/leaf USE +small"]),
        ({"lab/base/base-1.ebuild": ebuild("inherit common # edited")}, ["lab/base ebuild changed"]),
        ({"eclass/common.eclass": "# edited\n"}, ["eclass common changed (of 2 packages: lab/base, lab/leaf)"]),
        ({"lab/leaf/files/fix.patch": "edited\n"}, ["lab/leaf files/ changed"]),
        ({"profiles/image/packages": "lab/leaf\nlab/other\n"}, ["+ lab/other-1", "- lab/base-1"]),
    ],
)
def test_locked_to_something_else(clone: LockedLab, files: dict[str, str], moves: list[str]) -> None:
    write(clone.tree, files)
    before = clone.lock.read_text()
    first, *rest, last = clone.refusal()
    assert first == f"{clone.lock}: build.locked is on, and what resolves now is something else:"
    assert rest == [f"  {line}" for line in moves]
    assert last == "`doit lock:lab` accepts it, or a build with QUERN_BUILD_LOCKED=off"
    assert clone.lock.read_text() == before
    assert list((clone.folder / "work/.packages.new").iterdir()) == []


def test_what_was_refused_and_what_accepts_it(lab: LockedLab) -> None:
    lab.build()
    lab.set_locked(True)
    assert lab.build() == []
    write(lab.tree, {"profiles/image/package.use": "lab/leaf small\n"})
    assert lab.refusal() == lab.refusal()
    lab.set_locked(False)
    assert lab.build() == ["packages"]
    assert "USE small" in lab.lock.read_text()
    lab.set_locked(True)
    assert lab.build() == []


def test_locked_to_an_edited_lock(lab: LockedLab) -> None:
    """The sources are as they were: no build is needed to see that it says something else."""
    lab.build()
    lab.set_locked(True)
    text = lab.lock.read_text()
    lab.lock.write_text(text.replace("-small", "small") + "  LATER what a later version may say\n")
    assert lab.refusal()[1:-1] == ["  lab/leaf USE -small"]
    lab.lock.write_text(text + "  LATER what a later version may say\n")
    assert lab.build() == []
    assert "LATER" in lab.lock.read_text()

    lab.lock.write_text(f"{text}<<<<<<< HEAD\n")
    (line,) = lab.refusal()
    number = text.count("\n") + 1
    assert line.startswith(f"{lab.lock}:{number}: expected a line of a lock, got '<<<<<<< HEAD'")
    assert line.endswith("; `doit lock:lab` writes it anew")


def test_locked_to_nothing(lab: LockedLab) -> None:
    lab.set_locked(True)
    lab.lock.unlink()
    for _ in range(2):
        assert lab.refusal() == [
            f"{lab.lock}: build.locked is on, and there is no such file",
            "`doit lock:lab` writes it, or a build with QUERN_BUILD_LOCKED=off",
        ]
        shutil.rmtree(lab.folder / "work")
