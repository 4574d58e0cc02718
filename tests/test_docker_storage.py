"""The docker driver with another place to build in than the work folder: [docker] workdir_storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import Builder
from tests.building import Project, ran
from tests.containers import FILLING, ebuild, one_package

pytestmark = [pytest.mark.docker, pytest.mark.emerge]


@pytest.fixture
def project(tmp_path: Path, builder: Builder) -> Project:
    """A project of one image of one package, which `ebuild` writes."""
    return one_package(tmp_path / "project", builder)


def test_building_in_a_tmpfs(project: Project, client: Any) -> None:  # noqa: ANN401
    """It may be executed in; one that is full is said in one line, and a larger one will do."""
    project.variables["QUERN_DOCKER_WORKDIR_STORAGE"] = "tmpfs:16m"
    ebuild(project, FILLING)
    output = project.doit("packages:one", status=1)
    assert "packages:one\ndocker.workdir_storage = tmpfs:16m is full: name a larger one, or folder; log: " in output
    project.doit("root:one", variables={"QUERN_DOCKER_WORKDIR_STORAGE": "tmpfs:64m"})
    root = project.folder / "build/one/root/image"
    assert (root / "where").read_text().startswith("/run/quern/tmp/portage/")
    assert (root / "zeros").stat().st_size == 24 << 20
    assert ran(project.doit("root:one", variables={"QUERN_DOCKER_WORKDIR_STORAGE": "folder"})) == []


def test_building_in_a_volume(project: Project, client: Any) -> None:  # noqa: ANN401
    """Made where there is none, emptied, and removed with the image; one of the user's is only emptied."""
    from docker.errors import NotFound

    client.volumes.create("users")
    ebuild(project, "[[ ${WORKDIR} == /quern/scratch/one-* ]] || die")
    project.doit("packages:one", variables={"QUERN_DOCKER_WORKDIR_STORAGE": "volume:users"})
    assert listed(client, project, "users") == ""
    ebuild(project, "die")
    project.variables["QUERN_DOCKER_WORKDIR_STORAGE"] = "volume:quern-builds"
    project.doit("packages:one", status=1)
    assert listed(client, project, "quern-builds").startswith("one-")  # to look at, as in the work folder
    project.doit("packages:one", status=1, variables={"QUERN_BUILD_KEEP_FAILED": "off"})
    assert listed(client, project, "quern-builds") == ""
    project.doit("clean", "-c", "image:one")
    with pytest.raises(NotFound):
        client.volumes.get("quern-builds")
    client.volumes.get("users").remove()


def listed(client: Any, project: Project, volume: str) -> str:  # noqa: ANN401
    """What is in a volume."""
    image, mounts = project.variables["QUERN_DOCKER_IMAGE"], {volume: {"bind": "/v"}}
    found = client.containers.run(image, ["ls", "/v"], volumes=mounts, network_mode="none", remove=True)
    return str(found.decode())
