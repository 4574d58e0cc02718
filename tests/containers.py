"""A project of one package, which is shell commands, and what it takes to build it in containers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.builders import Builder
from tests.building import CHECKOUT, Project
from tests.projects import write

TREE = {  # a repository of packages that are shell commands
    "tree/metadata/layout.conf": "masters =\nthin-manifests = true\nprofile-formats = portage-2 profile-set\n",
    "tree/profiles/repo_name": "tree\n",
    "tree/profiles/categories": "app-misc\n",
    "tree/profiles/arch.list": "amd64\n",
    "tree/profiles/base/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\n',
    "profiles/repo_name": "images\n",
    "profiles/one/packages": "app-misc/one\n",
    "profiles/one/parent": "tree:base\n",
    "profiles/one/quern.conf": "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n",
    "dodo.py": (CHECKOUT / "dodo.py").read_text(),
}

EBUILD = 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${{WORKDIR}}"\n{head}\nsrc_install() {{\n{commands}\n}}\n'

FILLING = """
    head -c 24M /dev/zero > zeros || die
    printf '#!/bin/sh\\npwd\\n' > where.sh
    chmod +x where.sh
    ./where.sh > where || die
    insinto /
    doins zeros where
"""


def one_package(folder: Path, builder: Builder) -> Project:
    """A project of one image of one package, which `ebuild` writes."""
    return Project(write(folder, TREE), variables(builder))


def variables(builder: Builder, **more: str) -> dict[str, str]:
    """What makes a project build in the builder."""
    return {
        "QUERN_BUILD_DRIVER": "docker",
        "QUERN_DOCKER_IMAGE": builder.name,
        "DOCKER_HOST": builder.daemon.address,
        "QUERN_POSTBUILD_ENGINES": "none",
        **more,
    }


def ebuild(project: Project, commands: str, head: str = "") -> None:
    """Write the one package."""
    text = EBUILD.format(head=head, commands=commands)
    write(project.folder, {"tree/app-misc/one/one-1.ebuild": text})


@contextmanager
def building(project: Project, client: Any) -> Iterator[tuple[subprocess.Popen[str], Any]]:  # noqa: ANN401
    """doit, and the container in which emerge is at a package that never ends."""
    ebuild(project, "touch ${T}/waiting; sleep 600")
    with subprocess.Popen(
        [sys.executable, "-m", "doit", "packages:one"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **project.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process, wait_for(lambda: at_work(project, client), 60)
        finally:
            process.kill()


def at_work(project: Project, client: Any) -> Any:  # noqa: ANN401 (the SDK ships no types)
    """The container whose package waits, if there is one."""
    if not list(project.folder.glob("build/one/.packages.new/own/*/tmp/portage/*/one-1/temp/waiting")):
        return None
    return client.containers.list(filters={"label": "quern.work"})[0]


def wait_for(question: Any, seconds: float) -> Any:  # noqa: ANN401
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return answer
