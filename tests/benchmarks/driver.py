"""A whole `doit TASK` from warm binary packages, in containers against on this machine.

Every round starts from nothing but the store: the work and output folders of both sides are wiped. The first run
of each, which fills the store where it lacks something, is not measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

FROM_SOURCE = ">>> Emerging ("


def sides(project: Path, task: str, builder: str) -> tuple[Callable[[], object], Callable[[], object]]:
    """What is to be measured: TASK in containers of `builder`, and on this machine; both have run before."""
    docker = _side(project, task, {"QUERN_BUILD_DRIVER": "docker", "QUERN_DOCKER_IMAGE": builder})
    raw = _side(project, task, {"QUERN_BUILD_DRIVER": "raw"})
    for side in (docker, raw):
        if FROM_SOURCE in side() and FROM_SOURCE in (said := side()):
            sys.exit("a package was built again, nothing can be measured:\n" + said)
    return docker, raw


def _side(project: Path, task: str, variables: Mapping[str, str]) -> Callable[[], str]:
    folder = project / "build" / f"benchmark-{variables['QUERN_BUILD_DRIVER']}"
    environment = {
        **os.environ,
        **variables,
        "QUERN_BUILD_WORKDIR": str(folder / "build"),
        "QUERN_BUILD_OUTDIR": str(folder / "images"),
        "QUERN_PORTAGE_BINPKG": str(project / "build/binpkgs"),
        "QUERN_PORTAGE_DISTFILES": os.environ.get("QUERN_PORTAGE_DISTFILES", str(project / "build/distfiles")),
        "QUERN_POSTBUILD_ENGINES": "none",  # loading is the same for both
    }
    argv = [sys.executable, "-m", "doit", "--db-file", str(folder / ".doit.db"), task]

    def run() -> str:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return subprocess.run(argv, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    return run
