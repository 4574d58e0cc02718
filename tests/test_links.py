"""quern.worker.links: where a path leads inside an image, as a chroot would have it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from quern.worker.links import MAX_LINKS, follow, real_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small image, with links of all kinds."""
    top = tmp_path / "root"
    (top / "usr/lib/deep").mkdir(parents=True)
    (top / "usr/lib/file").write_text("")
    for name, target in {
        "lib": "usr/lib",
        "absolute": "/usr/lib/file",
        "up": "../../../../../../..",
        "dangling": "usr/lib/gone",
        "through": "/usr/lib/file/x",
        "loop": "loop",
    }.items():
        (top / name).symlink_to(target)
    return top


@pytest.mark.parametrize(
    ("name", "real", "there"),
    [
        (b"/lib/file", b"usr/lib/file", True),
        (b"absolute", b"usr/lib/file", True),
        (b"lib/deep/../../lib/./file", b"usr/lib/file", True),
        (b"up/up/lib//file", b"usr/lib/file", True),
        (b"up", b"", True),
        (b"dangling", b"usr/lib/gone", False),
        (b"lib/gone/../file", b"usr/lib/gone/../file", False),
        (b"through", b"usr/lib/file/x", False),
        (b"usr/lib/file/../file", b"usr/lib/file/../file", False),
        (b"loop", b"loop", False),
    ],
)
def test_where_a_path_leads(root: Path, name: bytes, real: bytes, there: bool) -> None:
    found = follow(os.fsencode(root), name)
    assert (found.name, found.mode is not None) == (real, there)


def test_as_many_links_as_the_kernel_follows(root: Path) -> None:
    (root / "link0").symlink_to("usr/lib/file")
    for number in range(1, MAX_LINKS + 1):
        (root / f"link{number}").symlink_to(f"link{number - 1}")
    for number, there in ((MAX_LINKS - 1, True), (MAX_LINKS, False)):
        mode = follow(os.fsencode(root), b"link%d" % number).mode
        assert (mode is not None and stat.S_ISREG(mode)) == there == (root / f"link{number}").exists()


def test_real_folders(root: Path) -> None:
    top = os.fsencode(root)
    assert real_folder(top, b"loop") is None
    assert real_folder(top, b"usr/lib/file") is None
    assert real_folder(top, b"lib/deep") == b"usr/lib/deep"
    assert real_folder(top, b"up") == b""
