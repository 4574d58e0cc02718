"""The steps that call emerge, with packages that take no time to build."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.portage.package_index import read_index
from quern.project import Image
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.conftest import Stock, tool
from tests.projects import Said, image_of, run, write

pytestmark = pytest.mark.emerge

# `body` in place of src_install may fail; every package installs its own version
EBUILD = """\
EAPI=8
DESCRIPTION="Installs one file"
LICENSE="none"
KEYWORDS="amd64"
SLOT="{slot}"
S="${{WORKDIR}}"
{lines}
src_install() {{
	mkdir -p "${{ED}}/usr/share/lab" "${{ED}}/usr/share/man/man1" || die
	echo "${{PF}}" > "${{ED}}/usr/share/lab/${{PN}}" || die
	echo "${{PF}}" > "${{ED}}/usr/share/man/man1/${{PN}}.1" || die
	{body}
}}
"""


def ebuild(lines: str = "", body: str = ":", slot: str = "0") -> str:
    return EBUILD.format(lines=lines, body=body, slot=slot)


TREE = {
    "metadata/layout.conf": "masters =\nthin-manifests = true\nprofile-formats = portage-2 profile-set\n",
    "profiles/repo_name": "lab\n",
    "profiles/categories": "lab\n",
    "profiles/arch.list": "amd64\n",
    "profiles/image/eapi": "8\n",
    "profiles/image/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\nACCEPT_LICENSE="*"\nELIBC="musl"\n'
    'KERNEL="linux"\nCHOST="x86_64-pc-linux-gnu"\nUSERLAND="GNU"\n',
    "profiles/image/packages": "lab/top\n",
    "lab/base/base-1.ebuild": ebuild(),
    "lab/headers/headers-1.ebuild": ebuild(),
    "lab/leaf/leaf-1.ebuild": ebuild(slot="0/1"),
    "lab/top/top-1.ebuild": ebuild('DEPEND="lab/base lab/headers"\nRDEPEND="lab/base lab/leaf:="'),
    "lab/other/other-1.ebuild": ebuild(),
    "lab/thief/thief-1.ebuild": ebuild(body='echo mine > "${ED}/usr/share/lab/top"'),
    "lab/broken/broken-1.ebuild": ebuild('RDEPEND="lab/other"', body='die "this is broken"'),
}
ALL = ["lab/base-1", "lab/headers-1", "lab/leaf-1", "lab/top-1"]


class Lab:
    """An image, and what is said while its steps are run in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = write(folder / "tree", TREE)
        write(folder, {"lab.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n"})
        self.said: list[str] = []

    @property
    def image(self) -> Image:
        return image_of(self.folder / "lab.conf", self.folder / "work")

    def build(self) -> list[str]:
        """Run the steps up to the tarball; give the names of those that ran."""
        said = Said()
        try:
            return [step.name for step in steps_of(self.image)[:-1] if run_step(step, run(said))]
        finally:
            self.said = said.lines

    def emerged(self) -> list[str]:
        """What the last build built from source, sorted."""
        return sorted(match[1] for line in self.said if (match := re.search(r">>> Emerging \(.*\) (\S+?)::", line)))

    def ledger(self) -> dict[str, str]:
        """What became of each package in the last build, and why."""
        text = (self.folder / "work/packages/ledger.txt").read_text()
        return dict(re.split(" {2,}", line) for line in text.splitlines()[1:])

    def packages(self) -> dict[str, str]:
        """The SHA-256 of each binary package of the image, by cpv."""
        view = self.folder / "work/packages/view"
        paths = {stanza["CPV"]: view / stanza["PATH"] for stanza in read_index(view)}
        return {cpv: hashlib.sha256(path.read_bytes()).hexdigest() for cpv, path in paths.items()}

    def installed(self) -> dict[str, str]:
        """The files that the packages of the image have installed."""
        folder = self.folder / "work/root/image/usr/share/lab"
        return {path.name: path.read_text().strip() for path in sorted(folder.iterdir())}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


def test_from_source_then_nothing_then_what_changed(lab: Lab) -> None:
    steps = ["portage", "packages", "root", "strip", "tarball"]
    assert lab.build() == steps
    assert lab.emerged() == ALL
    assert lab.ledger() == dict.fromkeys(ALL, "built: no binary package yet")
    assert "Building 4 of 4 packages: no binary package yet" in lab.said
    assert lab.installed() == {"base": "base-1", "leaf": "leaf-1", "top": "top-1"}  # headers are to build with only

    assert lab.build() == []

    # the same version with other content: emerge would take the old binary package
    write(lab.tree, {"lab/base/base-1.ebuild": ebuild(body='echo more >> "${ED}/usr/share/lab/base"')})
    assert lab.build() == steps[1:]
    assert lab.emerged() == ["lab/base-1", "lab/top-1"]
    changed = {"lab/base-1": "ebuild changed", "lab/top-1": "dependency lab/base (ebuild changed)"}
    assert lab.ledger() == dict.fromkeys(ALL, "reused") | {cpv: f"built: {why}" for cpv, why in changed.items()}
    announced = ["Building 2 of 4 packages", *(f"  {cpv}: {why}" for cpv, why in changed.items())]
    assert [line for line in lab.said if line in announced] == announced
    assert lab.installed()["base"] == "base-1\nmore"

    write(lab.tree, {"lab/other/other-1.ebuild": ebuild("# not in the image")})
    assert lab.build() == []

    # a new sub-slot of what top needs to run alone: it is not built with it (`:=`, PMS 8.3.3)
    (lab.tree / "lab/leaf/leaf-1.ebuild").unlink()
    write(lab.tree, {"lab/leaf/leaf-2.ebuild": ebuild(slot="0/2")})
    assert lab.build() == steps[1:]
    assert lab.emerged() == ["lab/leaf-2"]
    assert lab.ledger()["lab/leaf-2"] == "built: 1 -> 2, slot 0/1 -> 0/2"
    assert lab.installed()["leaf"] == "leaf-2"

    # what was built before is still in the store
    (lab.tree / "lab/leaf/leaf-2.ebuild").unlink()
    write(lab.tree, TREE)
    assert lab.build() == steps[1:]
    assert lab.emerged() == []
    assert lab.installed() == {"base": "base-1", "leaf": "leaf-1", "top": "top-1"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Lab:
    """An image that is built; to be looked at only."""
    lab = Lab(tmp_path_factory.mktemp("built"))
    stock(lab.folder / "binpkgs")
    lab.build()
    return lab


def test_nothing_of_the_build_is_left(built: Lab) -> None:
    work = built.folder / "work"
    assert sorted(path.name for path in (work / "packages").iterdir()) == [
        "ingredients.json", "ledger.txt", "linked.json", "packages.lock", "provenance.json", "root-plan.json", "view",
        "watch.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (work / "root").iterdir()) == ["image", "made.json"]
    found = {str(path.relative_to(work / "root/image")) for path in (work / "root/image").rglob("*")}
    assert {path for path in found if not path.startswith(("var/db/pkg", "usr/share"))} <= {
        "etc", "usr", "var", "var/db", "var/lib", "var/cache", "tmp", "var/tmp",
    }  # fmt: skip
    assert not any(path.name.startswith(".") for path in work.iterdir())


def test_lock(built: Lab) -> None:
    text = (built.folder / "work/packages/packages.lock").read_text()
    assert re.findall(r"^lab/\S+", text, re.M) == [
        "lab/base-1:0::lab", "lab/headers-1:0::lab", "lab/leaf-1:0/1::lab", "lab/top-1:0::lab",
    ]  # fmt: skip
    assert str(built.folder) not in text


def test_a_package_that_fails(lab: Lab) -> None:
    write(lab.tree, {"profiles/image/packages": "lab/broken\n"})
    with pytest.raises(BuildError) as error:
        lab.build()
    assert "lab/broken-1" in str(error.value)
    assert "this is broken" in str(error.value)
    staging = lab.folder / "work/.packages.new"
    assert staging.is_dir()
    assert lab.said[-1] == f"What was built so far is in {staging}"
    assert not (lab.folder / "work/packages").exists()

    write(lab.tree, {"lab/broken/broken-1.ebuild": ebuild('RDEPEND="lab/other"')})
    lab.build()
    assert lab.emerged() == ["lab/broken-1"]  # lab/other was kept
    assert not staging.exists()


def test_no_solution_leaves_nothing(lab: Lab) -> None:
    write(lab.tree, {"profiles/image/packages": "lab/absent\n"})
    with pytest.raises(BuildError, match="no repository has lab/absent"):
        lab.build()
    assert not any(line.startswith("What was built so far") for line in lab.said)
    assert list((lab.folder / "work/.packages.new").iterdir()) == []


def test_questions_without_a_terminal_are_refused_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lab.tree, {"profiles/image/packages": "lab/absent\n"})  # would be refused by the resolver
    with (lab.folder / "lab.conf").open("a") as file:
        file.write("[emerge]\nask = on\n")
    with open(os.devnull) as nothing, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", nothing)
        with pytest.raises(BuildError, match="ask = on needs a terminal"):
            lab.build()


def test_two_packages_with_the_same_file(lab: Lab, stock: Stock) -> None:
    stock(lab.folder / "binpkgs")
    write(lab.tree, {"profiles/image/packages": "lab/top\nlab/thief\n"})
    with pytest.raises(BuildError) as error:
        lab.build()
    assert "/usr/share/lab/top" in str(error.value)


def test_a_package_that_replaces_what_the_build_stands_on(lab: Lab) -> None:
    """What is done there afterwards is done by quern itself, which nobody confines."""
    own = "${ROOT%/}/.."
    body = f'mv "{own}/image" "{own}/moved" && ln -s /etc "{own}/image" || die'
    write(lab.tree, {"lab/leaf/leaf-1.ebuild": ebuild(body=body), "profiles/image/packages": "lab/leaf\n"})
    with pytest.raises(BuildError, match=r"own/lab_leaf-1-[0-9a-f]+/image is no folder any more: a package"):
        lab.build()


def test_store_lost_after_the_packages_step(lab: Lab, stock: Stock) -> None:
    """The view is the image's own: the store is needed to build only."""
    stock(lab.folder / "binpkgs")
    lab.build()
    for path in sorted((lab.folder / "binpkgs").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    root = lab.folder / "work/root.json"
    root.unlink()
    assert lab.build() == ["root"]


def test_the_same_bytes_in_another_folder(built: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "somewhere/else")
    os.utime(other.folder / "lab.conf", (1, 1))  # with no epoch declared, that of the newest input is the tarball's
    os.utime(built.folder / "lab.conf", (1, 1))
    other.build()
    first, second = built.folder / "work", other.folder / "work"
    assert (first / "root.digest").read_text() == (second / "root.digest").read_text()
    assert (first / "strip.digest").read_text() == (second / "strip.digest").read_text()
    assert list(built.packages()) == ALL
    assert built.packages() == other.packages()


def test_what_was_damaged_is_made_anew(lab: Lab, stock: Stock) -> None:
    """Whatever is missing or altered below the work folder and in the store, a run or two later all is well."""
    stock(lab.folder / "binpkgs")
    lab.build()
    digest = (lab.folder / "work/tarball.digest").read_text()
    shutil.rmtree(lab.folder / "work/root/image")
    assert lab.build() == ["root"]
    (lab.folder / "work/packages/view/Packages").unlink()
    assert lab.build() == ["packages"]
    package = next((lab.folder / "binpkgs/lab").glob("top-*.tar"))
    package.write_bytes(package.read_bytes()[:-1] + b"x")  # the view's file too: they are one
    write(lab.folder, {"lab.conf": (lab.folder / "lab.conf").read_text() + "include_system = on\n"})
    assert lab.build() == ["packages"]  # built again it is the same file, so that the root stays
    assert lab.emerged() == ["lab/top-1"]
    package = next((lab.folder / "work/packages/view/lab").glob("top/*.tar"))
    package.unlink()
    (lab.folder / "work/root.json").unlink()
    with pytest.raises(BuildError, match=r"was damaged .*run it again, and it is made anew"):
        lab.build()
    assert lab.build() == ["packages", "root"]
    assert (lab.folder / "work/tarball.digest").read_text() == digest
