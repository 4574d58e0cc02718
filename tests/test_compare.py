"""quern.worker.compare and whose the files are (vdb.owners)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.worker.compare import compare
from tests.conftest import needs_root
from tests.projects import write
from tests.trees import CAPABILITY, add_special, copy_tree, make_tree


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """A tree with everything, and a copy of it."""
    one, other = make_tree(tmp_path / "one"), tmp_path / "other"
    if os.geteuid() == 0:
        add_special(one)
    copy_tree(one, other)
    return one, other


def differences(two: tuple[Path, Path], *databases: Path) -> list[tuple[str, str, str]]:
    found = compare(str(two[0]), str(two[1]), [str(path) for path in databases])["differences"]
    return [(each["package"], each["path"], each["what"]) for each in found]


def test_nothing(two: tuple[Path, Path]) -> None:
    os.utime(two[1] / "usr/bin/tool", (1, 1))
    assert differences(two) == []


def test_what_differs(two: tuple[Path, Path]) -> None:
    _, other = two
    (other / "usr/lib/one").write_bytes((other / "usr/lib/one").read_bytes()[:-1] + b"x")
    (other / "usr/lib/empty").chmod(0o600)
    (other / "usr/bin/alias").unlink()
    (other / "usr/bin/alias").write_bytes((other / "usr/bin/tool").read_bytes())
    (other / "usr/bin/alias").chmod((other / "usr/bin/tool").stat().st_mode)
    (other / "lib").unlink()
    (other / "lib").symlink_to("usr/lib32")
    (other / "fifo").unlink()
    (other / "fifo").mkdir()
    (other / "a-b").rmdir()
    write(other, {"new/folder/file": "its content is not told"})
    assert differences(two) == [
        ("", "/a-b", "missing in the second"),
        ("", "/fifo", "a pipe, then a folder"),
        ("", "/lib", "target"),
        ("", "/new", "only in the second"),
        ("", "/usr/bin/tool", "hard link"),  # the one is a link to alias, the other is not
        ("", "/usr/lib/empty", "mode 0644, then 0600"),
        ("", "/usr/lib/one", "content"),
    ]


@needs_root
def test_what_only_root_can_change(two: tuple[Path, Path]) -> None:
    _, other = two
    os.chown(other / "usr/lib/one", 71, 3_000_000)
    os.setxattr(other / "usr/lib/two", "security.capability", CAPABILITY[:4] + b"\1" + CAPABILITY[5:])
    (other / "null").unlink()
    os.mknod(other / "null", 0o020666, os.makedev(1, 5))
    assert differences(two) == [
        ("", "/null", "number"),
        ("", "/usr/lib/one", "owner 70:3000000, then 71:3000000"),
        ("", "/usr/lib/two", "attributes"),
    ]


def test_whose_it_is(tmp_path: Path) -> None:
    """By its real name, where a package has it below a link, and by that of either build."""
    for name in ("one", "other"):
        write(tmp_path / name, {"usr/lib/libx.so": name, "usr/bin/y": name, "etc/none": name})
        (tmp_path / name / "lib").symlink_to("usr/lib")
    contents = f"dir /lib\nobj /lib/libx.so {'0' * 32} 1\n"
    write(tmp_path / "first", {"var/db/pkg/lab/x-1/CONTENTS": contents})
    (tmp_path / "first/usr/lib").mkdir(parents=True)
    (tmp_path / "first/lib").symlink_to("usr/lib")
    write(tmp_path / "second", {"var/db/pkg/lab/y-1/CONTENTS": f"obj /usr/bin/y {'0' * 32} 1\n"})
    two = (tmp_path / "one", tmp_path / "other")
    assert differences(two, tmp_path / "first", tmp_path / "second") == [
        ("", "/etc/none", "content"),
        ("lab/y-1", "/usr/bin/y", "content"),
        ("lab/x-1", "/usr/lib/libx.so", "content"),
    ]
