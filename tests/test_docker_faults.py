"""The docker driver where something is wrong: the package, the image, the daemon. Each is said in one message."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Builder
from tests.building import CHECKOUT, Project
from tests.containers import FILLING, TREE, building, ebuild, one_package, variables
from tests.dockerd import Dockerd
from tests.projects import write

pytestmark = [pytest.mark.docker, pytest.mark.emerge]


@pytest.fixture
def project(tmp_path: Path, builder: Builder) -> Project:
    """A project of one image of one package, which `ebuild` writes."""
    return one_package(tmp_path / "project", builder)


def test_capability_that_a_package_lacks(project: Project) -> None:
    ebuild(project, '/usr/bin/mknod "${ED}/device" c 1 3 || die "no device"')
    output = project.doit("packages:one", status=1)
    assert "no device" in output
    assert "Containers have no CAP_MKNOD (mknod" in output
    project.doit("packages:one", variables={"QUERN_DOCKER_CAPABILITIES": "MKNOD"})


def test_out_of_memory(project: Project, client: Any) -> None:  # noqa: ANN401
    ebuild(project, '/usr/bin/python3 -c "x = bytearray(1 << 30)" || true')
    output = project.doit("packages:one", status=1, variables={"QUERN_DOCKER_MEMORY": "256m"})
    assert "was killed for want of memory (docker.memory = 256m)" in output


def test_live_ebuild_is_refused(project: Project) -> None:
    ebuild(project, "true", head='PROPERTIES="live"')
    output = project.doit("packages:one", status=1)
    assert "app-misc/one-1: a live ebuild fetches its sources while it is built" in output
    project.doit("packages:one", variables={"QUERN_DOCKER_NETWORK": "none"})


def test_sources_that_must_be_fetched_by_hand(project: Project) -> None:
    write(
        project.folder, {"tree/app-misc/one/Manifest": f"DIST one.txt 4 SHA512 {hashlib.sha512(b'one').hexdigest()}\n"}
    )
    ebuild(project, "true", 'SRC_URI="http://192.0.2.1/one.txt"\nRESTRICT="fetch"\npkg_nofetch() { einfo "Sign it."; }')
    output = project.doit("packages:one", status=1)
    assert "the sources of app-misc/one-1 cannot be fetched automatically\n  Sign it.\n" in output
    assert "put them into the distfiles folder" in output


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no python3: it must have Portage, and a Python of 3.9 or later"),
        (None, "Portage is not installed"),
    ],
)
def test_image_that_is_no_builder(
    project: Project, builder: Builder, files: dict[str, str] | None, message: str
) -> None:
    ebuild(project, "true")
    name = builder.empty("quern-test/empty:1") if files is not None else builder.without_portage("quern-test/bare:1")
    output = project.doit("packages:one", status=1, variables={"QUERN_DOCKER_IMAGE": name})
    assert message in output
    assert "Traceback" not in output


def test_absent_image(project: Project) -> None:
    ebuild(project, "true")
    output = project.doit("packages:one", status=1, variables={"QUERN_DOCKER_IMAGE": "quern-test/absent:1"})
    assert "has no builder image quern-test/absent:1; get it with one of\n    docker pull quern-test/absent:1" in output


def test_name_in_use(project: Project, client: Any) -> None:  # noqa: ANN401
    """Another's container by that name: doit replaces the shell that names it, so that the process id is known."""
    ebuild(project, "true")
    image = project.variables["QUERN_DOCKER_IMAGE"]
    command = (
        f"docker create --name quern-images-one-$$-prepare-1 {image} true; exec {sys.executable} -m doit packages:one"
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **project.variables}
    output = subprocess.run(["sh", "-c", command], cwd=project.folder, env=environment, capture_output=True, text=True)
    assert output.returncode == 1
    assert "is already in use" in output.stdout + output.stderr
    assert "Traceback" not in output.stdout + output.stderr


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("network", "nosuch", "network nosuch not found (see docker.network)"),
        ("capabilities", "NOSUCH", "CAP_NOSUCH"),
        ("cpus", "9999", "Range of CPUs is from"),
    ],
)
def test_container_that_docker_does_not_make(project: Project, option: str, value: str, message: str) -> None:
    ebuild(project, "true")
    output = project.doit("packages:one", status=1, variables={f"QUERN_DOCKER_{option}".upper(): value})
    said = output.partition("TaskFailed")[2]
    assert "docker makes no container: " in said
    assert message in said
    assert f"(see docker.{option})" in said


def test_daemon_dies(tmp_path: Path, project: Project) -> None:
    """In the midst of a build: one line, and no package."""
    import docker

    daemon = Dockerd()
    try:
        daemon.start()
        own = Builder.imported(daemon)
        project.variables |= variables(own)
        with closing(docker.DockerClient(daemon.address)) as client, building(project, client) as (process, _):
            daemon.kill()
            output = process.stdout.read() if process.stdout else ""
            assert process.wait(60) == 1
        assert "went away while container quern-images-one-" in output
        assert "Traceback" not in output
        assert not (project.folder / "build/one/packages").exists()
    finally:
        daemon.stop()


FULL = """
mkdir build && mount -t tmpfs -o size=24m tmpfs build || exit 9
trap 'umount build' EXIT
"$@"
test "$?" = 1 && test -s build/one/logs/packages.log && ! test -e build/one/packages
"""


def test_disk_full(project: Project, builder: Builder, client: Any) -> None:  # noqa: ANN401
    """That of the work folder, a small one which the daemon sees as well; the log is there."""
    ebuild(project, FILLING)
    command = builder.daemon.among_its_mounts("sh", "-c", f'cd "$0"{FULL}', str(project.folder))
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **project.variables, "QUERN_BUILD_KEEP_FAILED": "off"}
    run = subprocess.run(
        [*command, sys.executable, "-m", "doit", "packages:one"], env=environment, capture_output=True, text=True
    )
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    assert "No space left on device" in output.partition("TaskFailed")[2]  # emerge says it, or else writing the log
    assert "Traceback" not in output
    assert client.containers.list(all=True) == []


class Podman(http.server.BaseHTTPRequestHandler):
    """Answers as Podman's service does, as far as quern asks."""

    def do_GET(self) -> None:
        known: dict[str, object] = {"Id": "ab" * 32, "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


def test_podman_is_refused(tmp_path: Path) -> None:
    """It has no attaching as docker has it."""
    project = Project(
        write(tmp_path / "project", TREE), {"QUERN_BUILD_DRIVER": "docker", "QUERN_DOCKER_IMAGE": "one:1"}
    )
    ebuild(project, "true")
    address = str(tmp_path / "s")
    with socketserver.ThreadingUnixStreamServer(address, Podman) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        output = project.doit("packages:one", status=1, variables={"DOCKER_HOST": f"unix://{address}"})
        server.shutdown()
    assert f"docker.daemon: unix://{address} is Podman's; build.driver = docker needs docker's own daemon" in output
    assert "Traceback" not in output
