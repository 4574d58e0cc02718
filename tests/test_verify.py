"""`doit verify:NAME`: a second build, from source and elsewhere."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.questions import VERIFY
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.building import CHECKOUT, Project, snapshot
from tests.conftest import Stock
from tests.projects import Said, run, write
from tests.test_emerging import ALL, TREE, Lab, ebuild

pytestmark = pytest.mark.emerge

# a build can see where its folders really are in its table of mounts alone
NOISY = """
	local place=here
	grep -q elsewhere /proc/self/mountinfo && place=elsewhere
	echo "${RANDOM}${RANDOM}${RANDOM}" > "${ED}/usr/share/lab/random" || die
	echo "${place}" > "${ED}/usr/share/lab/path" || die
	ln -s "${place}" "${ED}/usr/share/lab/link" || die
	[[ ${place} == elsewhere ]] && { chmod 0600 "${ED}/usr/share/lab/leaf" || die; }
	[[ ${place} == elsewhere ]] || { touch "${ED}/usr/share/lab/"$'odd\\a' || die; }
"""


def build_all(lab: Lab) -> None:
    for step in steps_of(lab.image):
        run_step(step, run())


def kept(work: Path) -> dict[str, tuple[int, int, int]]:
    """Everything in a work folder but the second place and the lock."""
    own = (str(work / "verify"), str(work / "lock"))
    return {path: row for path, row in snapshot(work).items() if not path.startswith(own)}


@pytest.fixture
def lab(tmp_path: Path, stock: Stock) -> Lab:
    """An image whose archive can be built, from packages that are there."""
    lab = Lab(tmp_path)
    stock(tmp_path / "binpkgs")
    with (lab.folder / "lab.conf").open("a") as file:
        file.write("outdir = images\n[postbuild]\nengines = none\n")
    return lab


def test_identical(lab: Lab) -> None:
    """Everything is built again, from source; what was there stays as it is, and nothing else is left."""
    build_all(lab)
    work, said = lab.folder / "work", Said()
    before, images = kept(work), snapshot(lab.folder / "images")
    (lab.folder / "lab.conf").touch()  # no change, but the newest file is the time of what has none
    VERIFY.answer(lab.image, run(said))
    lab.said = said.lines
    assert lab.emerged() == ALL
    digest = (work / "tarball.digest").read_text().strip()
    assert re.fullmatch(f"identical: tarball {digest}, image id sha256:[0-9a-f]{{64}}", said.lines[-1])
    assert (kept(work), snapshot(lab.folder / "images")) == (before, images)
    assert not (work / "verify").exists()


def test_what_differs(lab: Lab) -> None:
    """File by file, with its package; the second build is kept, for its user alone."""
    write(lab.tree, {"lab/leaf/leaf-1.ebuild": ebuild(body=NOISY, slot="0/1"), "profiles/image/packages": "lab/leaf\n"})
    build_all(lab)
    work, said = lab.folder / "work", Said()
    before = kept(work)
    with pytest.raises(BuildError) as error:
        VERIFY.answer(lab.image, run(said))
    place = work / "verify"
    assert str(error.value) == (
        f"lab does not come out the same (tarball and image id); the second build is kept in {place}"
    )
    assert place.stat().st_mode & 0o777 == 0o700
    assert {line for line in said.lines if line.startswith("lab/")} == {
        "lab/leaf-1: /usr/share/lab/leaf: mode 0644, then 0600",
        "lab/leaf-1: /usr/share/lab/link: target",
        "lab/leaf-1: '/usr/share/lab/odd\\x07': missing in the second",
        "lab/leaf-1: /usr/share/lab/path: content",
        "lab/leaf-1: /usr/share/lab/random: content",
    } | {line for line in said.lines if "/var/db/pkg/" in line}
    assert kept(work) == before


def test_something_has_moved(lab: Lab) -> None:
    """Like is compared with like: that is said, and nothing is built."""
    with pytest.raises(BuildError, match=r"lab is not what would be built now \(portage: not made yet\)"):
        VERIFY.answer(lab.image, run())
    assert not (lab.folder / "work").exists()
    build_all(lab)
    (lab.folder / "images/lab.oci.tar").unlink()
    with pytest.raises(BuildError, match=r"\(image: .*/lab.oci.tar is gone\); `doit image:lab` first"):
        VERIFY.answer(lab.image, run())
    write(lab.tree, {"lab/leaf/leaf-1.ebuild": ebuild("# edited", slot="0/1")})
    with pytest.raises(BuildError) as error:
        VERIFY.answer(lab.image, run())
    reason = "packages: lab/leaf ebuild changed"
    assert str(error.value) == f"lab is not what would be built now ({reason}); `doit image:lab` first"
    assert not (lab.folder / "work/verify").exists()


def test_a_tarball_that_was_damaged(lab: Lab) -> None:
    build_all(lab)
    tarball = lab.folder / "work/tarball/image.tar.gz"
    whole = tarball.read_bytes()
    tarball.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BuildError, match="is not what was built there"):
        VERIFY.answer(lab.image, run())
    tarball.write_bytes(whole[:-1])
    said = r"\(tarball: .*/tarball is gone or damaged, or a part of it\); `doit image:lab` first"
    with pytest.raises(BuildError, match=said):
        VERIFY.answer(lab.image, run())
    build_all(lab)
    assert tarball.read_bytes() == whole


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_cut_short(tmp_path: Path, stock: Stock, number: signal.Signals) -> None:
    """What was built is as it was, the next answer is right, and clean leaves nothing."""
    files = {f"tree/{name}": text for name, text in TREE.items()} | {"tree/profiles/image/packages": ""}
    files |= {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
    files |= {"profiles/one/quern.conf": "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"}
    files |= {"profiles/one/packages": "lab/leaf\n", "profiles/one/parent": "lab:image\n"}
    project = Project(write(tmp_path / "project", files))
    stock(project.folder / "build/binpkgs")
    project.doit("image:one")
    work = project.folder / "build/one"
    before = kept(work)
    asked = subprocess.Popen(
        [sys.executable, "-m", "doit", "verify:one"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert asked.stdout is not None
    with asked, asked.stdout as output:
        assert any("Emerging" in line for line in output)
        os.killpg(asked.pid, number)
        output.read()
    assert asked.returncode not in (0, None)
    assert kept(work) == before
    assert (work / "verify").is_dir()
    assert project.doit("image:one") == "".join(f"-- {name}:one\n" for name in STEPS)
    assert "identical: tarball sha256:" in project.doit("verify:one")
    (work / "verify").mkdir()
    project.doit("clean", "-c", "image:one")
    assert not work.exists()


STEPS = ["portage", "packages", "root", "strip", "tarball", "image"]
