"""quern.worker.merge: what comes of a merge is what emerge makes of the same packages, and what fails is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import BuildError, PackageError
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from quern.worker.vdb import owners
from tests import merging
from tests.conftest import Stock
from tests.merging import by_emerge, phases, rows
from tests.projects import run, write
from tests.test_emerging import Lab, ebuild

pytestmark = pytest.mark.emerge

WHEN_MADE = 4  # the column of rows() that two merges cannot have alike for what a phase writes
MADE_BY_PHASES = {"usr/share/lab/added"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Path:
    """The binary packages of all images here: what no test changes is built once."""
    folder = tmp_path_factory.mktemp("merge") / "store"
    stock(folder)
    return folder


def lab_of(folder: Path, store: Path, packages: str = "", **ebuilds: str) -> Lab:
    """The lab with all kinds of packages and `ebuilds`; in the image are those of `packages`, by default all."""
    lab = Lab(folder)
    write(lab.tree, merging.TREE)
    write(lab.tree, {f"lab/{name}/{name}-1.ebuild": text for name, text in ebuilds.items()})
    if packages:
        write(lab.tree, {"profiles/image/packages": "".join(f"lab/{name}\n" for name in packages.split())})
    conf = (folder / "lab.conf").read_text()
    write(folder, {"lab.conf": conf.replace("[build]", f"binpkg = {store}\n[build]")})
    return lab


def make(lab: Lab) -> str:
    """Run the steps up to the root; returns the root's digest."""
    for step in steps_of(lab.image)[:3]:
        run_step(step, run())
    return (lab.folder / "work/root.digest").read_text()


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Lab:
    """A root with all kinds of packages, merged."""
    lab = lab_of(tmp_path_factory.mktemp("merged"), store)
    make(lab)
    return lab


def test_a_merge_is_what_emerge_makes(merged: Lab) -> None:
    """Content, kinds, modes, owners, hard links, times of files, environment and database."""
    ours = rows(merged.folder / "work/root/image")
    emerges = rows(by_emerge(merged.image, merged.folder / "work/by-emerge"))
    for name in MADE_BY_PHASES:
        ours[name], emerges[name] = (row[:WHEN_MADE] + row[WHEN_MADE + 1 :] for row in (ours[name], emerges[name]))
    assert sorted(ours) == sorted(emerges)
    assert {name: (row, emerges[name]) for name, row in ours.items() if row != emerges[name]} == {}


def test_phases_ran_in_their_order(merged: Lab) -> None:
    root = merged.folder / "work/root/image"
    assert (root / "var/made/saved").read_text() == "from setup preinst postinst\n"
    assert (root / "var/made/all").read_text() == "all-1\n"  # merged before pkg_postinst
    assert (root / "etc/passwd").read_text().splitlines()[2] == "lab:x:500:500::/:/bin/false"


def test_what_a_phase_makes_is_its_packages(merged: Lab) -> None:
    found = owners(str(merged.folder / "work/root/image"))
    assert found["/var/made/best"] == found["/var/made/link"] == "lab/postinst-1"
    assert found["/var/made/saved"] == "lab/all-1"
    assert found["/usr/lib/follows.so"] == "lab/follows-1"  # by its real name
    assert "/etc/.pwd.lock" not in found  # made by a phase, and of no use
    assert not (merged.folder / "work/root/image/etc/.pwd.lock").exists()


def test_the_same_bytes_again(merged: Lab) -> None:
    before = (merged.folder / "work/root.digest").read_text()
    (merged.folder / "work/root.json").unlink()
    assert make(merged) == before


def test_a_bashrc_takes_part(tmp_path: Path, store: Path) -> None:
    """Then every package has its phases run by Portage, and INSTALL_MASK is what the bashrc makes of it."""
    lab = lab_of(tmp_path, store, "leaf")
    hook = 'post_pkg_preinst() {\n\techo hook > "${ED}"/usr/share/lab/hook || die\n}\n'
    bashrc = f'INSTALL_MASK="/usr/share/man"\n{hook}'
    write(lab.tree, {"profiles/image/profile.bashrc": bashrc})
    make(lab)
    root = lab.folder / "work/root/image"
    assert (root / "usr/share/lab/hook").read_text() == "hook\n"
    assert not (root / "usr/share/man").exists()
    assert sorted(rows(root)) == sorted(rows(by_emerge(lab.image, lab.folder / "work/by-emerge")))


FAILS = '[[ ${MERGE_TYPE} = source ]] || die "nothing works"'


@pytest.mark.parametrize("phase", ["setup", "preinst", "postinst"])
def test_a_phase_that_fails(tmp_path: Path, store: Path, phase: str) -> None:
    # in the packages step it is merged as well, from source
    lab = lab_of(tmp_path, store, "failing", failing=ebuild(phases(**{phase: FAILS})))
    with pytest.raises(PackageError) as error:
        make(lab)
    message = str(error.value)
    assert message.startswith("lab/failing-1 ")
    assert phase in message.splitlines()[0]
    assert "  nothing works" in message.splitlines()
    assert "Traceback" not in message
    log = message.rpartition("log: ")[2].split("\n")[0]
    assert "nothing works" in Path(log).read_text()
    assert not (lab.folder / "work/root").exists()


def test_what_phases_put_in_the_place_of_records(tmp_path: Path, store: Path) -> None:
    """A link where the record of the root is written is replaced, not followed; a log that is gone hides no failure."""
    planted = '[[ ${MERGE_TYPE} = source ]] || ln -s /nowhere "${ROOT%/}/../made.json" || die'
    lab = lab_of(tmp_path / "link", store, "planting", planting=ebuild(phases(postinst=planted)))
    make(lab)
    record = lab.folder / "work/root/made.json"
    assert record.read_text() == "{}"
    assert not record.is_symlink()

    gone = f'[[ ${{MERGE_TYPE}} = source ]] || rm "${{PORTAGE_LOG_FILE}}"; {FAILS}'
    lab = lab_of(tmp_path / "log", store, "losing", losing=ebuild(phases(postinst=gone)))
    with pytest.raises(BuildError, match="lab/losing-1") as error:
        make(lab)
    assert "Traceback" not in str(error.value)
