"""An image with one program, an interpreter that is linked statically, and what it takes to test it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from quern.errors import QuernError
from quern.project import Image, project_images
from quern.steps.base import Run, clean_step, run_step
from quern.steps.chain import driver_of, steps_of, trial_of
from tests.building import CHECKOUT, Project
from tests.containers import TREE
from tests.projects import DATA, Said, write

INSTALL = """\
EAPI=8
SLOT="0"
KEYWORDS="amd64"
RESTRICT="strip"
S="${WORKDIR}"
src_install() {
	exeinto /bin
	doexe "${FILESDIR}/act"
	insinto /etc
	doins "${FILESDIR}/passwd" "${FILESDIR}/group"
}
"""
CONF = """\
[portage]
repositories = ./tree
[postbuild]
engines = none
[dockergen]
entrypoint = /absent
command = never
workdir = /some/where
env = COLOUR=blue
volumes = /data
"""
FILES = {
    "tree/app-misc/one/one-1.ebuild": INSTALL,
    "tree/app-misc/one/files/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n",
    "tree/app-misc/one/files/group": "root:x:0:\napp:x:1001:\nothers:x:1002:app\n",
    "profiles/one/quern.conf": CONF,
}


def compiled(target: Path) -> Path:
    """The interpreter; see act.c for what it understands."""
    subprocess.run(["gcc", "-static", "-Os", "-s", "-o", target, DATA / "act.c"], check=True)
    return target


def make_bench(folder: Path, act: Path) -> Project:
    """A project of one image that has the interpreter `act`."""
    project = Project(write(folder, {**TREE, **FILES}))
    (folder / "tree/app-misc/one/files/act").write_bytes(act.read_bytes())
    project.doit("image:one")
    return project


class Bench:
    """The built image; `environ` says how and where it is tested."""

    def __init__(self, project: Project, environ: Mapping[str, str]) -> None:
        self.project = project
        self.environ = dict(environ)

    @property
    def image(self) -> Image:
        (image,) = project_images(self.project.folder, self.environ)
        return image

    @property
    def tests(self) -> Path:
        return self.project.folder / "profiles/one/tests"

    def write(self, **tests: str) -> None:
        """Make these the tests, by name; a text without a first line of its own is for the interpreter."""
        subprocess.run(["rm", "-rf", self.tests], check=True)
        for name, text in tests.items():
            write(self.tests, {name: text if text.startswith("#!") else f"#!/bin/act\n{text}\n"})
            (self.tests / name).chmod(0o755)

    def forget(self) -> None:
        """Make the image one that was not tested yet."""
        clean_step(trial_of(self.image), Run(driver_of(self.image, Said()), Said()), dry=False)

    def make(self) -> None:
        """Bring the image up to date, in the daemon too."""
        for step in steps_of(self.image):
            run_step(step, Run(driver_of(self.image, Said()), Said()))

    def run(self) -> list[str]:
        """Test, and give what is said; an error is the last line."""
        said = Said()
        try:
            if not run_step(trial_of(self.image), Run(driver_of(self.image, said), said)):
                said("kept")
        except QuernError as error:
            said(str(error))
        return said.lines[1:] if said.lines[:1] and said.lines[0].startswith("Testing in ") else said.lines

    def log(self, name: str) -> str:
        """What a test has printed."""
        return (self.project.folder / f"build/one/logs/test/{name}.log").read_text()


def doit_environment(bench: Bench) -> dict[str, str]:
    """That of a doit which tests the image."""
    return {**os.environ, **bench.environ, "PYTHONPATH": str(CHECKOUT)}
