"""The shipped images, built from real sources by the real emerge, once; what a change builds: test_readme_builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.building import CHECKOUT, Project, built, linked_store, make_project, ran, snapshot
from tests.conftest import needs_root
from tests.dockerd import Dockerd
from tests.left import within
from tests.readme import blocks, docker_command, sections
from tests.reproduce import LATER, differences, digests, elsewhere, package_files

pytestmark = pytest.mark.emerge

IMAGE = "musl-python3"
IMPORTS = "import ssl, sqlite3, ctypes, lzma, bz2, readline, zlib"
STEPS = ["portage", "packages", "root", "strip", "tarball", "image"]
MIB = 1 << 20


@pytest.fixture
def project(tmp_path: Path, first: tuple[Project, str]) -> Project:
    """A project of one's own, with the packages of the first in the store."""
    return first[0].copy(tmp_path / "project")


def test_builds_from_source(first: tuple[Project, str]) -> None:
    project, output = first
    assert ran(output) == STEPS
    assert "dev-lang/python-3.13.5" in built(output)
    assert (project.folder / f"images/{IMAGE}.oci.tar").is_file()
    assert "TaskFailed" not in output
    assert not (project.folder / f"build/{IMAGE}/logs/strip.log").exists()  # what is needed is there


def test_second_run_does_nothing(first: tuple[Project, str]) -> None:
    project, _ = first
    before = snapshot(project.folder / "build"), snapshot(project.folder / "images")
    assert project.doit(f"image:{IMAGE}").splitlines() == [f"-- {step}:{IMAGE}" for step in STEPS]
    assert (snapshot(project.folder / "build"), snapshot(project.folder / "images")) == before


def test_size(first: tuple[Project, str]) -> None:
    project, _ = first
    with tarfile.open(project.tarball(IMAGE)) as tar:
        size = sum(member.size for member in tar if member.isreg())
    packed = project.tarball(IMAGE).stat().st_size
    assert size <= 40 * MIB
    assert packed <= 15.5 * MIB
    said = re.search(r"([\d.]+) MB; its tarball\s+has ([\d.]+) MB", sections("contents")["The shipped images"])
    assert said
    assert [float(number) * 1e6 for number in said.groups()] == pytest.approx([size, packed], rel=0.05)


def test_its_own_tests_pass(first: tuple[Project, str]) -> None:
    """Those in its profile; see test_runs_in_docker for the other way."""
    output = first[0].doit(f"test:{IMAGE}")
    assert ran(output) == ["test"]
    assert "Testing in namespaces" in output
    assert output.count(": passed\n") == 4
    assert ran(first[0].doit(f"test:{IMAGE}")) == []


def test_python_starts_from_compiled_files(first: tuple[Project, str]) -> None:
    names = first[0].names(IMAGE)
    assert "/usr/lib/python3.13/__pycache__/os.cpython-313.pyc" in names
    assert not [name for name in names if name.startswith(("/usr/lib/python3.13/test/", "/usr/include", "/var/db/pkg"))]


@pytest.mark.docker
def test_runs_in_docker(project: Project, dockerd: Dockerd) -> None:
    """A required daemon: loaded, tagged, run; then nothing to do; then the tag is gone, and only that is mended."""
    import docker

    docker_there = {"QUERN_POSTBUILD_ENGINES": "docker", "DOCKER_HOST": dockerd.address}
    project.doit(f"image:{IMAGE}", variables=docker_there)
    client = docker.DockerClient(dockerd.address)
    try:
        command = ["-c", f"{IMPORTS}; print('imported')"]
        assert client.containers.run(IMAGE, command, network_mode="none", remove=True) == b"imported\n"
        printed = docker_command(dockerd, blocks("README", "Start")[2], project.folder)
        assert printed is None or re.fullmatch(r"OpenSSL 3\.0\.20 .* 3\.46\.1\n", printed)
        assert client.images.get(IMAGE).attrs["Config"]["Entrypoint"] == ["/usr/bin/python3"]
        sleeping = ["-c", "import time; print('up', flush=True); time.sleep(60)"]
        container = client.containers.run(IMAGE, sleeping, network_mode="none", detach=True)
        with within(60):
            while container.logs() != b"up\n":
                time.sleep(0.1)
        container.stop()
        assert container.wait()["StatusCode"] == 130  # by KeyboardInterrupt; 137 is SIGKILL, after ten seconds
        container.remove()
        assert ran(project.doit(f"image:{IMAGE}", variables=docker_there)) == []
        output = project.doit(f"test:{IMAGE}", variables=docker_there)
        assert "Testing in containers" in output
        assert output.count(": passed\n") == 4
        client.images.remove(f"{IMAGE}:latest", force=True)
        assert ran(project.doit(f"image:{IMAGE}", variables=docker_there)) == ["image"]
        assert client.images.get(f"{IMAGE}:latest")
    finally:
        client.close()


def test_same_bytes_in_another_folder(first: tuple[Project, str], tmp_path: Path) -> None:
    """From the same packages: another folder, umask, locale and job count, and the same declared time."""
    digests = []
    for number, variables in enumerate(({"QUERN_EMERGE_JOBS": "1", "LC_ALL": "C"}, {"QUERN_EMERGE_JOBS": "3"})):
        project = first[0].copy(tmp_path / f"project{number}")
        former = os.umask(0o077 if number else 0o022)
        try:
            project.doit(f"image:{IMAGE}", variables={"SOURCE_DATE_EPOCH": "1700000000", **variables})
        finally:
            os.umask(former)
        work = project.folder / "build" / IMAGE
        digests.append([(work / f"{step}.digest").read_text() for step in ("root", "strip", "tarball", "image")])
        assert project.tarball(IMAGE).name == f"image-{IMAGE}-2023-11-14.tar.gz"
    assert digests[0] == digests[1]


@pytest.fixture
def mount_namespace() -> None:
    """Nothing but a reason to skip where mounts cannot be made read-only."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make a mount namespace")


@needs_root
@pytest.mark.usefixtures("mount_namespace")
def test_same_bytes_from_source_elsewhere(two_images: tuple[Project, str], for_everyone: str, tmp_path: Path) -> None:
    """By another user on another day, and so on (see reproduce.py); with documentation, headers and database too."""
    image = "musl-busybox"
    here, _ = two_images
    distfiles = Path(here.variables["QUERN_PORTAGE_DISTFILES"])
    there, output = elsewhere(tmp_path, distfiles, f"image:{image}", Path(for_everyone))
    assert "sys-apps/busybox-1.37.0" in built(output)
    begun = (there.folder / f"build/{image}/logs/packages/emerge.log").read_text().split(":")[0]
    assert int(begun) > time.time() + LATER - 86400
    assert differences(here, there, image) == []
    assert digests(here, image) == digests(there, image)
    assert package_files(here, image) == package_files(there, image)


def test_two_images_at_once(two_images: tuple[Project, str]) -> None:
    """From an empty store: both need musl, and one of them builds it."""
    project, output = two_images
    assert sorted(path.name for path in (project.folder / "images").glob("*.oci.tar")) == [
        "hello.oci.tar",
        "musl-busybox.oci.tar",
    ]
    assert sorted(built(output)) == [
        "app-misc/hello-quern-1",
        "sys-apps/baselayout-1",
        "sys-apps/busybox-1.37.0",
        "sys-kernel/linux-headers-6.1.4",
        "sys-libs/musl-1.2.5",
    ]
    assert project.doit("test:hello", "test:musl-busybox").count(": passed\n") == 3


def test_clean_removes_what_was_made(project: Project) -> None:
    project.doit("image:hello")
    project.doit("clean", "-c", "image:hello")
    assert not (project.folder / "build/hello").exists()
    assert list((project.folder / "images").iterdir()) == []
    assert (project.folder / "profiles/hello/packages").exists()


def test_quern_builder(project: Project) -> None:
    """One configuration file, the stages in order, and the same image as the project's."""
    command = [sys.executable, "-c", "import quern.cli; raise SystemExit(quern.cli.main())"]
    command += [str(project.folder / "profiles/hello/quern.conf")]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **project.variables}
    environment |= {"QUERN_BUILD_WORKDIR": str(project.folder / "w"), "QUERN_BUILD_OUTDIR": str(project.folder / "out")}
    output = subprocess.check_output(command, env=environment, text=True)
    stages = ["Successfully loaded configuration", "Configuring build portage at", "Configuring build repositories"]
    stages += ["Configuring repository", "Enabling profile quern-images:hello", "Emerging binary (1 of 2)"]
    stages += ["Pruning", "Collecting image at", "Build complete, image is available at"]
    places = [output.index(stage) for stage in stages]
    assert places == sorted(places)
    assert len(list((project.folder / "out").iterdir())) == 2


READ_ONLY = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
while read -r _ _ _ _ point _; do
    case "$point" in "$1"|"$1"/*|/proc|/proc/*) ;; *) mount -o remount,bind,ro "$point" ;; esac
done < /proc/self/mountinfo
if touch /etc/quern-was-here 2>/dev/null; then echo "the host can be written to"; exit 9; fi
cd "$1/project"
exec "$2" -m doit image:hello
"""


@pytest.mark.usefixtures("mount_namespace")
def test_writes_nothing_outside_its_folders(two_images: tuple[Project, str], tmp_path: Path) -> None:
    """hello from source, every other mount read-only, and the host's folders as they were; musl is built already."""
    own = tmp_path / "own"
    variables = {
        "QUERN_PORTAGE_DISTFILES": str(own / "distfiles"),
        "QUERN_POSTBUILD_ENGINES": "none",
        "PYTHONPATH": str(CHECKOUT),
    }
    project = make_project(own / "project", variables)
    there = two_images[0].variables
    linked_store(Path(there["QUERN_PORTAGE_BINPKG"]), project.folder / "build/binpkgs", without="hello-quern-*")
    sources = Path(there["QUERN_PORTAGE_DISTFILES"])
    (own / "distfiles").mkdir()
    for source in sources.glob("*"):
        if source.is_file() and not source.name.startswith("."):
            (own / "distfiles" / source.name).hardlink_to(source)
    watched = [Path(name) for name in ("/etc", "/var/lib", "/var/cache", "/var/db", "/usr/local", "/opt", "/root")]
    others = "/var/lib/containers"  # skopeo's, which another test may run now
    before = [snapshot(folder) for folder in watched]
    script = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(own), sys.executable]
    ran_there = subprocess.run(script, env={**os.environ, **variables}, capture_output=True, text=True)
    assert ran_there.returncode == 0, ran_there.stdout[-3000:] + ran_there.stderr[-3000:]
    pairs = zip(before, [snapshot(folder) for folder in watched], strict=True)
    # by name: of a quarter of a million files pytest would write down every one
    written = [name for old, new in pairs for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    assert [name for name in written if not name.startswith(others)] == []
    assert built(ran_there.stdout) == ["app-misc/hello-quern-1"]
    assert project.tarball("hello").is_file()
