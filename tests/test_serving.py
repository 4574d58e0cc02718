"""`doit binhost:NAME`: a package host made of an image's packages, signed by real gpg, read by the real Portage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quern.errors import BuildError, DriverError
from quern.portage import package_index, store
from quern.portage.signing import Key, sign
from quern.questions import BINHOST
from quern.questions.base import clear
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.conftest import Stock
from tests.projects import Said, run, write
from tests.test_emerging import ALL, Lab, ebuild
from tests.test_signed import Signed, Signer, portage_environment

CLIENT = """\
import portage, sys
trees = portage.create_trees(target_root=sys.argv[1], eprefix="")
tree = trees[trees._target_eroot]["bintree"]
tree.populate(getbinpkgs=True, getbinpkg_refresh=True)
print(*sorted(tree.dbapi.cpv_all()))
"""


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Who signs."""
    with closing(Signer(tmp_path_factory.mktemp("signer"))) as signer:
        yield signer


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Lab:
    """An image whose packages are built."""
    lab = Lab(tmp_path_factory.mktemp("built"))
    stock(lab.folder / "binpkgs")
    build(lab)
    return lab


@pytest.fixture
def lab(built: Lab, tmp_path: Path) -> Lab:
    """A copy of it, to be changed."""
    shutil.copytree(built.folder, tmp_path / "lab", symlinks=True)
    lab = Lab(tmp_path / "lab")
    build(lab)
    return lab


def build(lab: Lab) -> None:
    for step in steps_of(lab.image)[:2]:
        run_step(step, run())


def set_key(lab: Lab, key: str) -> None:
    text = "[portage]\nrepositories = ./tree\nsigning_key = {}\n[build]\nprofile = lab:image\n"
    write(lab.folder, {"lab.conf": text.format(key)})


def answer(lab: Lab) -> str:
    """Write the package host; what is said at the end, without the folder."""
    said = Said()
    BINHOST.answer(lab.image, run(said))
    return said.lines[-1].partition(".binhost ")[2]


def served(lab: Lab) -> Path:
    (folder,) = BINHOST.files(lab.image)
    return folder


def head(lab: Lab) -> dict[str, str]:
    return package_index.read_head(served(lab))


@pytest.mark.emerge
def test_the_packages_of_an_image(lab: Lab) -> None:
    assert answer(lab) == "is written: 4 packages"
    assert [stanza["CPV"] for stanza in package_index.read_index(served(lab))] == sorted(ALL)
    store.check_view(served(lab), ALL)
    before = head(lab)
    assert answer(lab) == "is up to date"
    assert head(lab) == before
    next(served(lab).glob("lab/top/*.gpkg.tar")).unlink()
    assert answer(lab) == "is written: 4 packages"
    assert int(head(lab)["TIMESTAMP"]) > int(before["TIMESTAMP"])
    assert [path.name for path in served(lab).parent.glob(".*")] == []


@pytest.mark.emerge
def test_who_has_read_the_index_sees_what_is_new(lab: Lab, tmp_path: Path) -> None:
    """Portage keeps an index that is no older than what the host has."""
    root = tmp_path / "client/root"
    root.mkdir(parents=True)
    environment = {**portage_environment(tmp_path / "client"), "ROOT": str(root)}
    environment["PORTAGE_BINHOST"] = f"file://{served(lab)}"

    def known() -> set[str]:
        argv = [sys.executable, "-c", CLIENT, str(root)]
        ran = subprocess.run(argv, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return set(ran.stdout.split("\n")[-2].split())

    answer(lab)
    assert known() == set(ALL)
    (lab.tree / "lab/leaf/leaf-1.ebuild").rename(lab.tree / "lab/leaf/leaf-2.ebuild")
    build(lab)
    answer(lab)
    assert known() == {*ALL, "lab/leaf-2"} - {"lab/leaf-1"}


@pytest.mark.emerge
def test_signed(lab: Lab, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are what one who wants signed packages takes; the store's are as they were, and no step runs again."""
    monkeypatch.setenv("GNUPGHOME", str(signer.home))
    set_key(lab, "packages@example.org")
    assert [step.name for step in steps_of(lab.image)[:2] if run_step(step, run())] == []
    assert answer(lab) == "is written: 4 packages, signed with packages@example.org"
    assert answer(lab) == "is up to date"
    store.check_view(served(lab), ALL)
    using = Signed(tmp_path / "using", served(lab), signer.public)
    using.build()
    assert using.emerged() == []
    assert using.installed() == {"base": "base-1", "leaf": "leaf-1", "top": "top-1"}

    set_key(lab, "")
    assert answer(lab) == "is written: 4 packages"
    store.check_view(lab.folder / "work/packages/view", ALL)


@pytest.mark.emerge
def test_signed_again(built: Lab, signer: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that somebody has signed has one signature, the last one."""
    monkeypatch.setenv("GNUPGHOME", str(signer.home))
    (package,) = (built.folder / "work/packages/view/lab/base").iterdir()
    sign(package, tmp_path / "once", Key("packages@example.org"))
    sign(tmp_path / "once", tmp_path / "twice", Key("packages@example.org"))
    listed = [
        subprocess.run(["tar", "tf", tmp_path / name], check=True, capture_output=True).stdout
        for name in ("once", "twice")
    ]
    assert listed[0] == listed[1]
    assert listed[0].count(b".sig\n") == 2


@pytest.mark.emerge
def test_a_key_that_is_none(lab: Lab, signer: Signer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer(lab)
    before = head(lab)
    monkeypatch.setenv("GNUPGHOME", str(signer.home))
    set_key(lab, "nobody@example.org")
    expected = r"^portage\.signing_key: gpg cannot sign with 'nobody@example\.org': gpg: .*No secret key$"
    with pytest.raises(BuildError, match=expected):
        answer(lab)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(DriverError, match=r"^gpg is missing, .* \(Debian package gpg\)$"):
        answer(lab)
    assert head(lab) == before
    assert [path.name for path in served(lab).parent.glob(".*")] == []


@pytest.mark.emerge
def test_a_folder_of_somebody_else(lab: Lab, tmp_path: Path) -> None:
    write(served(lab), {"mine": "mine"})
    with pytest.raises(BuildError, match=r"lab\.binhost was not made by quern; move it away$"):
        answer(lab)
    assert clear(lab.image, BINHOST, dry=False) == []
    served(lab).rename(tmp_path / "mine")
    answer(lab)
    served(lab).rename(tmp_path / "moved")
    served(lab).symlink_to(tmp_path / "moved")
    with pytest.raises(BuildError, match="was not made by quern"):
        answer(lab)
    assert clear(lab.image, BINHOST, dry=False) == []
    served(lab).unlink()
    answer(lab)
    assert clear(lab.image, BINHOST, dry=True) == [served(lab)]
    assert clear(lab.image, BINHOST, dry=False) == [served(lab)]
    assert not served(lab).exists()
    assert (tmp_path / "moved/Packages").exists()


def test_without_packages(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    write(lab.tree, {"lab/top/top-1.ebuild": ebuild()})
    with pytest.raises(BuildError, match=r"^lab has no packages yet; `doit packages:lab` builds them$"):
        answer(lab)
    assert not served(lab).exists()
