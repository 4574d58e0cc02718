"""quern.worker.entry: the database entry of a merged package."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.worker import WorkerError
from quern.worker.entry import write
from tests.projects import write as write_files

METADATA = {
    "SLOT": b"0/1\n", "COUNTER": b"17\n", "BUILD_TIME": b"1795404000\n", "BUILD_ID": b"3\n", "SIZE": b"1\n",
    "FEATURES": b"strict\n", "environment.bz2": b"paths of the machine", "metadata": b"a cache", "CONTENTS": b"forged",
    "NEEDED": b"/lib/two libc.so\n/lib/one libc.so\n",
}  # fmt: skip


def test_what_differs_between_two_merges_is_left_out(tmp_path: Path) -> None:
    write(str(tmp_path), "lab/one-1", METADATA, b"dir /usr\n")
    folder = tmp_path / "var/db/pkg/lab/one-1"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "SLOT": b"0/1\n",
        "COUNTER": b"0\n",
        "BUILD_TIME": b"0\n",
        "NEEDED": b"/lib/one libc.so\n/lib/two libc.so\n",
        "CONTENTS": b"dir /usr\n",
    }
    assert {oct(path.stat().st_mode) for path in folder.iterdir()} == {"0o100644"}


@pytest.mark.parametrize("link", ["var", "var/db", "var/db/pkg/lab", "var/db/pkg/lab/one-1"])
def test_no_link_in_the_root_is_followed(tmp_path: Path, link: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    with pytest.raises(WorkerError, match="lab/one-1 cannot be noted in /var/db/pkg: "):
        write(str(root), "lab/one-1", METADATA, b"")
    assert not any(outside.iterdir())


def test_what_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    write_files(tmp_path, {"var/db/pkg/lab/one-1/COUNTER": "mine"})
    with pytest.raises(WorkerError, match="/var/db/pkg/lab/one-1 is in the way"):
        write(str(tmp_path), "lab/one-1", METADATA, b"")
