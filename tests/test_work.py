"""quern.steps.work: whose the folders are that quern writes to, and who else may."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from quern.errors import DriverError
from quern.steps.work import claim, mask
from tests.conftest import Stock, needs_root, tool
from tests.projects import write
from tests.test_emerging import Lab

NOBODY = 65534


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """That of the tests comes back."""
    former = os.umask(0)
    yield
    os.umask(former)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A place where everybody may write."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    return tmp_path / "shared"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_the_umask_is_the_users_but_for_writing(tmp_path: Path) -> None:
    for before, after in ((0, 0o022), (0o077, 0o077), (0o007, 0o027)):
        os.umask(before)
        assert mask() == after
        assert os.umask(0) == after


def test_a_work_folder_is_ours_alone(shared: Path) -> None:
    claim(shared / "a/work")
    assert (mode(shared / "a"), mode(shared / "a/work")) == (0o755, 0o700)
    (shared / "open").mkdir(0o777)
    claim(shared / "open")
    assert mode(shared / "open") == 0o700


@needs_root
@pytest.mark.parametrize("name", ["theirs", "theirs/work", "link", "link/work", "ours/work"])
def test_what_belongs_to_someone_else(shared: Path, name: str) -> None:
    (shared / "theirs").mkdir()
    (shared / "link").symlink_to("theirs")
    (shared / "ours").symlink_to("theirs")
    for path in ("theirs", "link"):
        os.chown(shared / path, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(DriverError, match=r"belongs to someone else, in a folder that .* set \[build\] workdir to"):
        claim(shared / name)
    assert list((shared / "theirs").iterdir()) == []


@needs_root
@pytest.mark.emerge
@pytest.mark.parametrize("option", ["[build] outdir", "[portage] distfiles", "[portage] binpkg"])
def test_what_else_belongs_to_someone_else(lab: Lab, shared: Path, option: str) -> None:
    (shared / "theirs").mkdir()
    os.chown(shared / "theirs", NOBODY, NOBODY)
    section, key = option.split(" ")
    text = (lab.folder / "lab.conf").read_text().replace(section, f"{section}\n{key} = {shared}/theirs")
    write(lab.folder, {"lab.conf": text})
    with pytest.raises(DriverError, match=rf"belongs to someone else, .* set {re.escape(option)} to"):
        lab.build()
    assert list((shared / "theirs").iterdir()) == []


@needs_root
def test_someone_elses_folder_elsewhere_is_the_users_business(tmp_path: Path) -> None:
    """A project of several people, or of a user for whom root builds."""
    (tmp_path / "project").mkdir()
    os.chown(tmp_path / "project", NOBODY, NOBODY)
    claim(tmp_path / "project/build/work")
    assert (tmp_path / "project/build/work").is_dir()


@pytest.mark.emerge
def test_nothing_that_is_made_can_be_written_to_by_others(lab: Lab) -> None:
    before = set(lab.folder.rglob("*"))
    os.umask(0)
    lab.build()
    made = [path for path in lab.folder.rglob("*") if path not in before and not path.is_symlink()]
    for name in ("host/var/cache", "logs"):  # Portage's, who lets its group write; the work folder keeps it out
        made = [path for path in made if not path.is_relative_to(lab.folder / "work" / name)]
    assert mode(lab.folder / "work") == 0o700
    assert len(made) > 50
    assert [str(path) for path in made if mode(path) & 0o022 and not mode(path) & stat.S_ISVTX] == []


@pytest.mark.emerge
def test_outputs_are_readable_as_the_umask_says(lab: Lab, stock: Stock) -> None:
    stock(lab.folder / "binpkgs")
    os.umask(0o077)
    lab.build()
    assert {mode(path) for path in (lab.folder / "images").iterdir()} == {0o600}
