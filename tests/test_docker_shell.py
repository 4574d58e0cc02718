"""`doit shell:NAME` where containers build: in one of the same image, which is thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import Builder
from tests.building import Project
from tests.containers import ebuild, one_package
from tests.terminals import typing

pytestmark = [pytest.mark.docker, pytest.mark.emerge]

BROKEN = "export -p > ${T}/phase; touch made /root/made; die broken"


@pytest.fixture
def project(tmp_path: Path, builder: Builder) -> Project:
    """A project of one image of one package, which `ebuild` writes."""
    return one_package(tmp_path / "project", builder)


def answer(project: Project, command: str, status: int = 0) -> list[str]:
    """What a command in the shell prints."""
    return project.doit("shell:one", f"--command={command}", status=status).split(".  shell:one\n")[1].splitlines()


def containers(client: Any) -> list[str]:  # noqa: ANN401
    return [container.name for container in client.containers.list(all=True)]


def test_a_shell_in_a_container(project: Project, client: Any) -> None:  # noqa: ANN401
    """The environment of the phase and no more rights; what failed stays as it was kept, the shell's container not."""
    ebuild(project, BROKEN)
    assert project.doit("packages:one", status=1).rstrip().endswith("\nshell: doit shell:one")
    kept, images = containers(client), client.images.list(all=True)
    assert len(kept) == 1
    assert answer(project, "echo /root/*; touch /root/here") == ["/root/made"]
    assert answer(project, "echo /root/*") == ["/root/made"]
    script = 'for name in PATH CFLAGS ROOT USE S; do grep -Fx "$(export -p | grep " $name=")" ${T}/phase; done | wc -l'
    assert answer(project, f"pwd; ls; {script}; exit 7", status=7) == [
        "/run/quern/tmp/portage/app-misc/one-1/work", "made", "5",
    ]  # fmt: skip
    shown = ("build", "host", "build/made", "repositories/tree", "distfiles")
    places = [*(f"/run/quern/{name}" for name in shown), "/quern/worker"]
    said = answer(project, "; ".join(f"touch {place}/x" for place in places), status=1)
    assert len([line for line in said if "Read-only file system" in line]) == len(places)
    assert answer(project, "grep -c : /proc/self/net/dev; grep CapEff /proc/self/status")[0] == "1"
    assert containers(client) == kept

    with typing(project, "shell:one") as terminal:
        terminal.expect("`(src_install)` runs it again")
        terminal.expect("# ")
        terminal.send("ls; echo columns $COLUMNS\n")
        terminal.expect("made")
        terminal.expect("columns 101")
        terminal.send("exit\n")
        assert terminal.status() == 0
    assert containers(client) == kept
    assert client.images.list(all=True) == images
    ebuild(project, "true")
    project.doit("packages:one")
    assert containers(client) == []


def test_a_shell_in_a_volume(project: Project, client: Any) -> None:  # noqa: ANN401
    ebuild(project, BROKEN)
    project.variables["QUERN_DOCKER_WORKDIR_STORAGE"] = "volume:quern-shells"
    assert "\nshell: doit shell:one" in project.doit("packages:one", status=1)
    assert answer(project, "ls; pwd | cut -d / -f 2,3; exit 3", status=3) == ["made", "quern/scratch"]
    assert answer(project, "ls") == ["made"]  # a shell that ends with an error empties nothing
    project.doit("clean", "-c", "image:one")


def test_what_memory_cannot_keep_is_said(project: Project, client: Any) -> None:  # noqa: ANN401
    ebuild(project, "die broken")
    output = project.doit("packages:one", status=1, variables={"QUERN_DOCKER_WORKDIR_STORAGE": "tmpfs:64m"})
    assert output.rstrip().endswith(
        "Its build folder went with the memory of its container: docker.workdir_storage = folder keeps it"
    )
    assert "no package of one has failed" in project.doit("shell:one", status=1)


def test_what_was_kept_nowhere_is_said(project: Project, client: Any) -> None:  # noqa: ANN401
    """Without keep_failed there is neither a container nor a folder."""
    ebuild(project, "die broken")
    output = project.doit("packages:one", status=1, variables={"QUERN_BUILD_KEEP_FAILED": "off"})
    assert output.rstrip().endswith("Its build folder is not kept: build.keep_failed = off")
    assert containers(client) == []
    assert "no package of one has failed" in project.doit("shell:one", status=1)
