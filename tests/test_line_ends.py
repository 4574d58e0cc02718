"""CR LF in files that bash reads: named, before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import QuernError
from tests.projects import image_of, source_plan, write
from tests.test_emerging import TREE, ebuild

pytestmark = pytest.mark.emerge

SIMPLE = 'EAPI=8\nDESCRIPTION="x"\nSLOT="0"\nKEYWORDS="amd64"\nLICENSE="none"\n'


def with_cr(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.replace("\n", "\r\n").encode())


def planned(folder: Path) -> list[str]:
    """What would be built of the tree in `folder`."""
    write(folder, {"lab.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n"})
    return [package.cpv for package in source_plan(image_of(folder / "lab.conf", folder / "work")).packages]


@pytest.mark.parametrize(
    ("name", "text", "top"),
    [
        ("lab/base/base-1.ebuild", ebuild(), ebuild('RDEPEND="lab/base"')),
        ("lab/base/base-1.ebuild", f"{SIMPLE}\nsrc_install() {{\n\t:\n}}\n", ebuild('RDEPEND="lab/base"')),
        ("eclass/own.eclass", "own_function() {\n\t:\n}\n", ebuild("inherit own")),
        ("profiles/image/profile.bashrc", "if true; then\n:\nfi\n", ebuild()),
        ("profiles/image/bashrc/one", "X=1\n", ebuild()),
    ],
)
def test_a_file_that_bash_cannot_read(tmp_path: Path, name: str, text: str, top: str) -> None:
    tree = write(tmp_path / "tree", {**TREE, "lab/top/top-1.ebuild": top})
    with_cr(tree, name, text)
    with pytest.raises(QuernError) as error:
        planned(tmp_path)
    assert str(error.value) == (
        f"{tree / name}: its lines end with CR LF, which bash cannot read: save it with LF (sed -i 's/\\r$//' FILE)"
    )


def test_files_that_portage_reads_with_them(tmp_path: Path) -> None:
    """Lists, make.defaults and an ebuild without a function."""
    tree = write(tmp_path / "tree", TREE)
    for name in (
        "profiles/image/make.defaults",
        "profiles/image/packages",
        "profiles/categories",
        "metadata/layout.conf",
    ):
        with_cr(tree, name, TREE[name])
    with_cr(tree, "lab/top/top-1.ebuild", SIMPLE)
    assert planned(tmp_path) == ["lab/top-1"]
