"""quern.worker.members: a package that is put into a root as it is read is what unpacking and moving it gives."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from quern.worker import WorkerError
from quern.worker.contents import Contents
from quern.worker.gpkg import opened
from quern.worker.mask import InstallMask, install_mask
from quern.worker.members import members, unpack
from quern.worker.unpacked import unpacked
from tests.conftest import needs_root
from tests.merging import rows
from tests.test_gpkg import CONTENT, Member, gpkg, member


class Root:
    """A root beside what is needed to fill it."""

    def __init__(self, folder: Path, sfperms: bool = False) -> None:
        self.path, self.spare = folder / "root", folder / "spare"
        for each in (self.path, self.spare):
            each.mkdir(parents=True)
        self.contents = Contents(str(self.path), str(self.spare), sfperms=sfperms)

    def place(self, package: str, mask: InstallMask, by_folder: Path | None = None) -> list[str]:
        """Put a package in, by way of a folder if one is named; returns the lines of CONTENTS."""
        with opened(package) as content:
            if by_folder:
                by_folder.mkdir()
                unpack(content, os.fsencode(by_folder), os.fsencode(self.spare))
            items = unpacked(os.fsencode(by_folder)) if by_folder else members(content, os.fsencode(self.spare))
            return self.contents.place(items, "lab/one-1", mask, 7).decode().splitlines()


def link(name: str, first: str) -> Member:
    return member(f"image/{name}", kind=tarfile.LNKTYPE, linkname=f"image/{first}")


LINKED = (
    member("image/a/.keep_lab_one-0"),
    link("a/empty", "a/.keep_lab_one-0"),
    member("image/doc/one", b"text", mode=0o4755),
    link("usr/two", "doc/one"),
    link("usr/three", "usr/two"),
    member("image/doc/link", kind=tarfile.SYMTYPE, linkname="one"),
    link("usr/link", "doc/link"),
    member("image/empty", kind=tarfile.DIRTYPE),
    member("image/usr", kind=tarfile.DIRTYPE, mode=0o700, mtime=981158400),  # after what is in it
)
CASES = {"all kinds": CONTENT, "hard links": LINKED}


@pytest.mark.parametrize("mask", [(), ("/doc", "/empty"), ("/usr/two",), ("/usr", "-link")], ids=str)
@pytest.mark.parametrize("case", CASES)
@needs_root
def test_the_same_root_either_way(tmp_path: Path, case: str, mask: tuple[str, ...]) -> None:
    """Also where the first of several names of a file is left out, and its mode is not to stay."""
    package, patterns = gpkg(tmp_path / "one.gpkg.tar", *CASES[case]), install_mask(mask, ())
    direct, moved = Root(tmp_path / "direct", sfperms=True), Root(tmp_path / "moved", sfperms=True)
    assert direct.place(package, patterns) == moved.place(package, patterns, tmp_path / "image")
    assert rows(direct.path) == rows(moved.path)
    assert direct.contents.owners == moved.contents.owners
    assert [*direct.spare.iterdir(), *moved.spare.iterdir()] == []


def test_a_hard_link_to_what_is_left_out(tmp_path: Path) -> None:
    root = Root(tmp_path)
    lines = root.place(gpkg(tmp_path / "one.gpkg.tar", *LINKED), install_mask(("/doc",), ()))
    assert (root.path / "usr/two").read_text() == "text"
    assert (root.path / "usr/two").stat().st_nlink == 2
    assert "obj /usr/two 1cb251ec0d568de6a929b520c4aed8d1 7" in lines
    assert "sym /usr/link -> one 7" in lines
    assert sorted(os.listdir(root.path)) == ["a", "empty", "usr"]


def test_two_names_that_are_one_in_the_root(tmp_path: Path) -> None:
    """Of a hard link the second replaces the first, which a third is linked to."""
    root = Root(tmp_path)
    (root.path / "usr").mkdir()
    (root.path / "lib").symlink_to("usr")
    file = member("image/lib/x", b"text")
    root.place(gpkg(tmp_path / "one.gpkg.tar", file, link("usr/x", "lib/x"), link("usr/y", "lib/x")), InstallMask())
    assert (root.path / "usr/x").stat().st_ino == (root.path / "usr/y").stat().st_ino
    assert (root.path / "usr/x").stat().st_nlink == 2
    other = gpkg(tmp_path / "two.gpkg.tar", file, member("image/usr/x", b"other"))
    with pytest.raises(WorkerError, match="lab/one-1 installs two different files as /usr/x, one as /usr/x"):
        Root.place(root, other, InstallMask())
