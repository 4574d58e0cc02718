"""quern.worker.unpack: what comes out is what was packed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.worker import trees
from quern.worker.unpack import unpack
from tests.conftest import needs_root, tool
from tests.trees import CAPABILITY, add_special, make_tree, packed, without_zstd

SUFFIX = {"gzip": "gz", "zstd": "zst"}


@needs_root
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_tree_again(tmp_path: Path, compression: str) -> None:
    tree = make_tree(tmp_path / "root")
    add_special(tree)
    archive = str(tmp_path / f"x.tar.{SUFFIX[compression]}")
    files = packed(tree, Path(archive), compression, 1_700_000_000)["files"]
    former = os.umask(0o077)
    try:
        assert unpack(archive, str(tmp_path / "out")) == {"files": files}
    finally:
        os.umask(former)
    assert trees.digest(str(tmp_path / "out")) == trees.digest(str(tree))
    assert os.getxattr(tmp_path / "out/usr/lib/two", "security.capability") == CAPABILITY
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_zstd_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder image has no module for it, and may have no command either."""
    tool("zstd", "zstd")
    tree = make_tree(tmp_path / "root")
    packed(tree, tmp_path / "x.tar.zst", "zstd", 0)
    without_zstd(monkeypatch)
    unpack(str(tmp_path / "x.tar.zst"), str(tmp_path / "out"))
    assert trees.digest(str(tmp_path / "out")) == trees.digest(str(tree))


@needs_root
def test_by_an_ordinary_user(tmp_path: Path, as_nobody: Callable[[Path, str], str]) -> None:
    """Without the devices, which only root could make; everything else is the user's."""
    tree = make_tree(tmp_path / "root")
    add_special(tree)
    packed(tree, tmp_path / "x.tar.gz", "gzip", 0)
    (tmp_path / "user").mkdir()
    os.chown(tmp_path / "user", 65534, 65534)
    code = (
        "quern.worker.unpack.unpack('../x.tar.gz', 'out')\n"
        "print(sorted(os.listdir('out')), os.stat('out/usr/lib/one').st_uid)"
    )
    found = as_nobody(tmp_path / "user", code)
    names = sorted(name for name in os.listdir(tree) if name not in ("null", "disk", "socket"))
    assert found == f"{names} 65534\n"
