"""What an ordinary user builds has the bytes of what root builds, or is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.building import CHECKOUT, TIME, Project, built
from tests.conftest import needs_root, tool
from tests.projects import write
from tests.test_emerging import TREE, ebuild

pytestmark = [pytest.mark.emerge, needs_root]

USER = 65534
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
TOOLS = (CHECKOUT / "quern/starter/metadata/quern-tools").read_text()

# all that makes no difference: root's own files, whoever says so, and what takes no rights
HARMLESS = """
	cp /bin/true "${ED}/usr/share/lab/set-id" || die
	cp /bin/true "${ED}/usr/share/lab/no-set-id" || die
	fperms 6755 /usr/share/lab/no-set-id
	chown -R 0:0 "${ED}/usr" || die
	chgrp root "${ED}/usr" || die
	fowners 0 /usr/share/lab/set-id
	fperms 6755 /usr/share/lab/set-id
	install -d -m 1777 -o root -g 0 "${ED}/usr/share/lab/sticky" || die
	install -m 0400 --owner=root --group=root /dev/null "${ED}/usr/share/lab/sticky/secret" || die
	dobin /bin/true
	insopts -m 0600; doins /bin/true
	ln "${ED}/usr/share/lab/set-id" "${ED}/usr/share/lab/linked" || die
"""
# not one of them asks whether it was done
REFUSED = {
    "fowners": ('fowners 70:71 "/usr/share/lab/fowners"', "/usr/share/lab/fowners (chown 70:71)"),
    "chgrp": ('cd "${ED}/usr" && chgrp -R 71 share', "/usr/share (chgrp 71)"),
    "mknod": ('mknod -m 0666 "${ED}/usr/share/lab/null" c 1 3', "/usr/share/lab/null (a device)"),
    "setcap": ('setcap cap_net_raw+ep "${ED}/usr/share/lab/setcap"', "/usr/share/lab/setcap (capabilities)"),
    "install": (
        'install -g root -m 0644 -o nobody /dev/null "${ED}/usr/share/lab/owned"',
        "/usr/share/lab/owned (owner nobody)",
    ),
}
PREINST = '}; pkg_preinst() { chown 70 "${ED}/usr/share/lab/one"'

Doit = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Callable[[str, Mapping[str, str]], Project]:
    """Makes a project of one image with these packages, from their ebuilds' bodies."""
    tool("scanelf", "pax-utils")

    def make(name: str, bodies: Mapping[str, str]) -> Project:
        files = {f"tree/{path}": text for path, text in TREE.items()}
        files |= {f"tree/lab/{package}/{package}-1.ebuild": ebuild(body=body) for package, body in bodies.items()}
        files |= {"tree/profiles/image/packages": "", "tree/metadata/quern-tools": f"{TOOLS}mknod\tcoreutils\tlab\n"}
        files["tree/metadata/quern-tools"] += "setcap\tlibcap2-bin\tlab\n"
        files |= {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
        files["profiles/one/quern.conf"] = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
        files["profiles/one/packages"] = "".join(f"lab/{package}\n" for package in bodies)
        files["profiles/one/parent"] = "lab:image\n"
        files["tools/setcap"] = "#!/bin/sh\nexit 1\n"
        folder = write(tmp_path / name, files)
        (folder / "tools/setcap").chmod(0o755)
        return Project(folder)

    return make


@pytest.fixture
def as_user(for_everyone: str) -> Doit:
    """Runs doit in a project that is an ordinary user's from then on."""

    def run(project: Project, task: str) -> subprocess.CompletedProcess[str]:
        subprocess.run(["chown", "-R", f"{USER}:{USER}", project.folder], check=True)
        path = f"{Path(for_everyone).parent}:{project.folder}/tools:/usr/sbin:/usr/bin:/sbin:/bin"
        ran = subprocess.run(
            [*AS_USER, for_everyone, "-m", "doit", task],
            cwd=project.folder,
            env={"PATH": path, "HOME": str(project.folder), "SOURCE_DATE_EPOCH": "1700000000"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ran.stdout = TIME.sub("", ran.stdout)
        return ran

    return run


def test_same_bytes(project: Callable[..., Project], as_user: Doit) -> None:
    """Of everything but what only root can give; and root takes none of the user's packages, which hold his files."""
    theirs, ours = project("theirs", {"one": HARMLESS}), project("ours", {"one": HARMLESS})
    ran = as_user(theirs, "image:one")
    assert ran.returncode == 0, ran.stdout
    shutil.copytree(theirs.folder / "build/binpkgs", ours.folder / "build/binpkgs")
    variables = {"PATH": f"{ours.folder}/tools:{os.environ['PATH']}", "SOURCE_DATE_EPOCH": "1700000000"}
    assert built(ours.doit("image:one", variables=variables)) == ["lab/one-1"]
    for step in ("root", "strip", "tarball", "image"):
        digests = [(each.folder / f"build/one/{step}.digest").read_text() for each in (theirs, ours)]
        assert digests[0] == digests[1], step
    package = "build/one/packages/view/lab/one/one-1-1.gpkg.tar"
    assert (theirs.folder / package).read_bytes() == (ours.folder / package).read_bytes()
    modes = {
        path.name: path.stat().st_mode & 0o7777 for path in ours.folder.glob("build/one/strip/image/usr/share/lab/*")
    }
    assert modes["set-id"] == modes["linked"] == 0o6755
    assert modes["no-set-id"] == 0o755  # chown(2) takes them away, from root too
    assert modes["sticky"] == 0o1777


def test_what_only_root_can_do(project: Callable[..., Project], as_user: Doit) -> None:
    """Package and file are named, and nothing of them is kept, though every ebuild went on."""
    theirs = project("theirs", {name: body for name, (body, _) in REFUSED.items()})
    for _ in range(2):
        ran = as_user(theirs, "root:one")
        assert ran.returncode == 1
        assert "packages:one" in ran.stdout
        assert "what is built here takes root" in ran.stdout
        cases = [line.strip() for line in ran.stdout.splitlines() if line.startswith("  lab/")]
        assert sorted(cases) == sorted(f"lab/{name}-1: {case}" for name, (_, case) in REFUSED.items())
        assert "Traceback" not in ran.stdout
    assert not list((theirs.folder / "build/binpkgs").glob("lab/*"))


def test_in_pkg_preinst(project: Callable[..., Project], as_user: Doit) -> None:
    """The binary package is as root's would be; merging it stops, now and with the package from the store."""
    theirs = project("theirs", {"one": PREINST})
    for _ in range(2):
        ran = as_user(theirs, "root:one")
        assert ran.returncode == 1
        assert "TaskFailed - taskid:root:one\nwhat is built here takes root" in ran.stdout
        assert "\n  lab/one-1: /usr/share/lab/one (chown 70)\n" in ran.stdout
