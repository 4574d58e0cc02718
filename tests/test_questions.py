"""What can be asked about an image: `doit lock:NAME`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.errors import BuildError, DriverError
from quern.project import project_images
from quern.questions import LOCK, QUESTIONS
from quern.steps.base import run_step
from quern.steps.chain import STEPS, steps_of
from tests.building import CHECKOUT, Project, snapshot
from tests.conftest import Stock, needs_root
from tests.projects import Said, run, write
from tests.test_emerging import Lab, ebuild
from tests.test_tasks import TREE

CONF = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
LOCKED = f"{CONF}[build]\nlock = profiles/one/packages.lock\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of one image that has a lock, not written yet."""
    files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
    files |= {"profiles/one/quern.conf": LOCKED, "profiles/one/packages": "app-misc/one\n"}
    files |= {"profiles/one/parent": "tree:base\n"}
    return Project(write(tmp_path / "project", {**files, **TREE}))


def answer(output: str) -> list[str]:
    """What doit printed of the question."""
    return [line.removeprefix("   one: ") for line in output.split(".  lock:one\n")[1].splitlines() if line]


def test_names_are_those_of_no_step() -> None:
    names = [question.name for question in QUESTIONS]
    assert len(set(names)) == len(names)
    assert not set(names) & {step.name for step in STEPS}
    assert all(question.doc == question.doc.strip(" .") and "\n" not in question.doc for question in QUESTIONS)


def test_help(project: Project) -> None:
    lines = project.doit("help", "lock:one").splitlines()
    assert lines[0] == "lock:one  resolve, say what moves, and update the lock of one"
    assert lines[1].split("  (")[0].split(None, 1) == ["--check", "write nothing, and fail if anything moves"]
    info = project.doit("info", "lock:one", status=1)  # it is never up to date
    assert "resolve, say what moves, and update the lock of one" in info
    assert "- portage:one" in info


def test_first_then_nothing_then_what_moves(project: Project) -> None:
    lock = project.folder / "profiles/one/packages.lock"
    written = "profiles/one/packages.lock is written"
    assert answer(project.doit("lock:one")) == ["1 package", written]
    assert "app-misc/one-1:0::tree\n" in lock.read_text()
    before = snapshot(project.folder / "profiles")
    assert answer(project.doit("lock:one")) == ["nothing moves"]
    assert answer(project.doit("lock:one", "--check")) == ["nothing moves"]
    assert snapshot(project.folder / "profiles") == before

    ebuild = TREE["tree/app-misc/one/one-1.ebuild"]
    write(project.folder, {"tree/app-misc/one/one-1.1.ebuild": f'{ebuild}IUSE="+fast"\n'})
    assert answer(project.doit("lock:one", "--check", status=1)) == [
        "app-misc/one 1 -> 1.1, USE +fast",
        "TaskFailed - taskid:lock:one",
        "profiles/one/packages.lock is not up to date; `doit lock:one` writes it",
    ]
    assert snapshot(project.folder / "profiles") == before
    assert answer(project.doit("lock:one")) == ["app-misc/one 1 -> 1.1, USE +fast", written]
    assert answer(project.doit("lock:one")) == ["nothing moves"]


def test_the_lock_is_not_part_of_the_profile(project: Project) -> None:
    project.doit("lock:one")
    assert project.doit("portage:one") == "-- portage:one\n"
    assert not (project.folder / "build/one/portage/overlay/profiles/one/packages.lock").exists()


def test_a_merge_that_is_not_finished(project: Project) -> None:
    lock = project.folder / "profiles/one/packages.lock"
    project.doit("lock:one")
    text = lock.read_text()
    lock.write_text(text.replace("  USE", "<<<<<<< HEAD\n  USE"))
    assert answer(project.doit("lock:one"))[0].startswith(
        "profiles/one/packages.lock:4: expected a line of a lock, got '<<<<<<< HEAD'"
    )
    assert lock.read_text() == text


def test_without_an_option(project: Project) -> None:
    write(project.folder, {"profiles/one/quern.conf": CONF})
    assert answer(project.doit("lock:one", status=1)) == [
        "TaskFailed - taskid:lock:one",
        "build.lock is not set; add to profiles/one/quern.conf:",
        "    [build]",
        "    lock = profiles/one/packages.lock",
    ]


def test_nothing_that_resolves(project: Project) -> None:
    project.edit("profiles/one/packages", "one", "absent")
    output = project.doit("lock:one", status=1)
    assert "no repository has app-misc/absent" in output
    assert "Traceback" not in output
    assert not (project.folder / "build/one/.resolve.new").exists()
    assert not (project.folder / "profiles/one/packages.lock").exists()


def test_a_lock_that_cannot_be_written(project: Project) -> None:
    write(project.folder, {"file": ""})
    output = project.doit("lock:one", status=1, variables={"QUERN_BUILD_LOCK": "file/packages.lock"})
    assert f"{project.folder}/file/packages.lock: Not a directory" in output
    assert "Traceback" not in output


def test_clean_leaves_the_lock_and_nothing_else(project: Project) -> None:
    project.doit("lock:one")
    (project.folder / "build/one/.resolve.new").mkdir()  # as after a kill
    project.doit("clean", "--clean-all")
    assert not (project.folder / "build/one").exists()
    assert (project.folder / "profiles/one/packages.lock").exists()


@pytest.mark.emerge
def test_asking_leaves_the_steps_as_they_are(tmp_path: Path, stock: Stock) -> None:
    """What was built stays, and what was asked about is built afterwards."""
    lab = Lab(tmp_path)
    stock(tmp_path / "binpkgs")
    write(lab.tree, {"profiles/image/packages": "lab/leaf\n"})
    with (lab.folder / "lab.conf").open("a") as file:
        file.write("lock = lab.lock\n")
    for step in steps_of(lab.image)[:2]:
        run_step(step, run())
    write(lab.tree, {"lab/leaf/leaf-2.ebuild": ebuild()})
    work = lab.folder / "work"
    before = {path: row for path, row in snapshot(work).items() if "/host" not in path and "/logs" not in path}
    said = Said()
    with pytest.raises(BuildError, match=r"lab\.lock is not up to date; `doit lock:lab` writes it"):
        LOCK.answer(lab.image, run(said), check=True)
    LOCK.answer(lab.image, run(said), check=False)
    move = "lab/leaf 1 -> 2, slot 0/1 -> 0"
    assert said.lines == [move, move, f"{lab.folder}/lab.lock is written"]
    after = {path: row for path, row in snapshot(work).items() if "/host" not in path and "/logs" not in path}
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} <= {str(work / "lock")}

    lock = (lab.folder / "lab.lock").read_bytes()
    for step in steps_of(lab.image)[:2]:
        run_step(step, run())
    assert (work / "packages/packages.lock").read_bytes() == lock


@needs_root
@pytest.mark.parametrize("name", ["binhost", "sbom", "size"])
def test_nothing_is_written_where_somebody_else_could_replace_it(project: Project, tmp_path: Path, name: str) -> None:
    """Root's own files neither, in a folder of somebody else's where everybody may write."""
    (tmp_path / "everybody").mkdir()
    (tmp_path / "everybody").chmod(0o1777)
    (tmp_path / "everybody/images").mkdir()
    os.chown(tmp_path / "everybody/images", 65534, 65534)
    (image,) = project_images(project.folder, {"QUERN_BUILD_OUTDIR": str(tmp_path / "everybody/images")})
    question = next(each for each in QUESTIONS if each.name == name)
    with pytest.raises(DriverError, match=r"everybody/images belongs to someone else, .*set \[build\] outdir"):
        question.answer(image, run(), **{option.name: option.name == "html" for option in question.options})
    assert list((tmp_path / "everybody/images").iterdir()) == []
