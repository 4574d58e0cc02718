"""quern.worker.made: which files of a root are new, at the cost of the folders that have changed."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quern.worker.made import TICK, Made
from tests.projects import write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "root", {"etc/passwd": "root", "usr/bin/tool": "", "var/db/pkg/lab/one-1/CONTENTS": ""})
    return tmp_path / "root"


def new(made: Made) -> list[str]:
    """What has come since the last look, when no two changes can have one time any more."""
    time.sleep(TICK / 1e9)
    return sorted(map(os.fsdecode, made.look()))


def test_what_is_new_since_the_last_look(root: Path) -> None:
    """A file, a folder with content, a link to a folder and a pipe; not what has other content or another time."""
    made = Made(str(root))
    assert new(made) == ["etc/passwd", "usr/bin/tool"]
    assert new(made) == []
    write(root, {"etc/passwd": "changed", "usr/bin/more": "", "usr/share/lab/x": "", "var/db/pkg/lab/one-1/SIZE": ""})
    os.utime(root / "usr/bin/tool")
    (root / "usr/lib").symlink_to("bin")
    os.mkfifo(root / "pipe")
    assert new(made) == ["pipe", "usr/bin/more", "usr/lib", "usr/share/lab/x"]
    assert new(made) == []


def test_times_that_were_set_hide_nothing(root: Path) -> None:
    made = Made(str(root))
    made.look()
    before = (root / "etc").stat()
    (root / "etc/hidden").touch()
    os.utime(root / "etc", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert new(made) == ["etc/hidden"]


def test_folders_that_change_places(root: Path) -> None:
    """A tree that was made before, outside, and is moved into the place of another."""
    outside = write(root.parent / "outside", {"bin/other": "", "bin/deep/x": ""})
    made = Made(str(root))
    new(made)
    shutil.rmtree(root / "usr/bin")
    (outside / "bin").rename(root / "usr/bin")
    assert new(made) == ["usr/bin/deep/x", "usr/bin/other"]
    (root / "usr/bin/deep").rename(root / "deep")
    assert new(made) == ["deep/x"]


def test_changes_within_one_tick_of_the_clock(root: Path) -> None:
    """A folder that is read and changed again at once may have the same time as before."""
    made = Made(str(root))
    found = []
    for number in range(200):
        (root / f"etc/{number}").touch()
        found += made.look()
    assert {f"etc/{number}".encode() for number in range(200)} < set(found)


def test_what_has_not_changed_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(str(root))
    new(made)
    (root / "etc/new").touch()
    read: list[bytes] = []
    scandir = os.scandir

    def noted(path: bytes) -> Iterator[os.DirEntry[bytes]]:
        read.append(os.path.basename(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    new(made)
    assert read == [b"etc"]


def test_the_record(root: Path) -> None:
    """What two packages have made is the first one's; what is gone again, or installed, is nobody's."""
    made = Made(str(root))
    made.look()
    write(root, {"etc/one": "", "etc/gone": "", "etc/installed": ""})
    made.note("lab/one-1", {b"etc/installed"})
    write(root, {"etc/one": "again", "etc/two": ""})
    (root / "etc/gone").unlink()
    made.note("lab/two-1", set())
    made.write()
    assert json.loads((root.parent / "made.json").read_text()) == {"/etc/one": "lab/one-1", "/etc/two": "lab/two-1"}
