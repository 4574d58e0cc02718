"""The docker driver against a real daemon, in a builder made of this machine's own packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.builders import Builder
from tests.building import CHECKOUT, KEPT_DISTFILES, Project, built, make_project, ran
from tests.dockerd import GATEWAY, Dockerd
from tests.projects import write

pytestmark = [pytest.mark.docker, pytest.mark.emerge]

STEPS = ["portage", "packages", "root", "strip", "tarball", "image"]
CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"]

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

ESCAPES = """
    set +e
    touch /quern/repositories/tree/escaped && die "the repository can be written to"
    touch /usr/portage/escaped && die "the tree can be written to"
    touch /quern/worker/escaped && die "the worker can be written to"
    touch "${DISTDIR}/escaped" && die "distfiles can be written to"
    touch "${PORTAGE_CONFIGROOT}/../../../portage.json" && die "receipts can be written to"
    call() { /usr/bin/python3 -c "import ctypes, sys; sys.exit(ctypes.CDLL(None).$1 != 0)"; }
    call 'getpid() * 0' || die "cannot even call"
    call 'mount(b"none", b"/tmp", b"tmpfs", 0, 0)' && die "can mount"
    call 'unshare(0x10000000)' && die "can make a user namespace"
    /usr/bin/mknod sda b 8 0 && die "can make devices"
    [[ $(ls /sys/class/net) == lo ]] || die "has a network: $(ls /sys/class/net)"
    (exec 3<>/dev/tcp/192.0.2.1/80) && die "can connect"
    grep -q 'NoNewPrivs:.*1' /proc/self/status || die "may get new privileges"
    grep -q 'Seccomp:.*2' /proc/self/status || die "without seccomp"
    set -e
    exeinto /usr/bin
    printf '#!/bin/sh\\n' > setuid
    doexe setuid
    fperms 4755 /usr/bin/setuid
"""


FILLING = """
    head -c 24M /dev/zero > zeros || die
    printf '#!/bin/sh\\npwd\\n' > where.sh
    chmod +x where.sh
    ./where.sh > where || die
    insinto /
    doins zeros where
"""


@pytest.fixture(scope="session")
def builder(dockerd: Dockerd) -> Builder:
    """A Debian with Portage in the tests' daemon."""
    return Builder.imported(dockerd)


@pytest.fixture
def as_user(tmp_path: Path, builder: Builder) -> Iterator[Callable[[Project, str], str]]:
    """Runs doit as an ordinary user whom the daemon trusts; gives what it prints.

    This Python may be out of the user's reach (below /root, say): the system's own runs copies of what is needed.
    """
    names = ("doit", "cloudpickle", "getconf", "docker", "requests", "urllib3", "idna", "certifi", "charset_normalizer")
    for name in names:
        found = find_spec(name)
        if found is not None and found.origin is not None:  # which of them there are depends on the versions
            shutil.copytree(Path(found.origin).parent, tmp_path / "python" / name)
    shutil.copytree(CHECKOUT / "quern", tmp_path / "python/quern", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)  # pytest's own folders are 0700

    def run(project: Project, task: str) -> str:
        command = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/python3",
            "-m",
            "doit",
            task,
        ]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "python"), **project.variables}
        ran = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    builder.daemon.folder.chmod(0o711)
    builder.daemon.socket.chmod(0o666)
    yield run
    builder.daemon.folder.chmod(0o700)


@pytest.fixture
def client(dockerd: Dockerd) -> Iterator[Any]:
    """The SDK's client, and at the end no container of the test."""
    import docker

    with closing(docker.DockerClient(dockerd.address)) as found:
        yield found
        for container in found.containers.list(all=True):
            container.remove(force=True, v=True)


def variables(builder: Builder, **more: str) -> dict[str, str]:
    """What makes a project build in the builder."""
    return {
        "QUERN_BUILD_DRIVER": "docker",
        "QUERN_DOCKER_IMAGE": builder.name,
        "DOCKER_HOST": builder.daemon.address,
        "QUERN_POSTBUILD_ENGINES": "none",
        **more,
    }


@pytest.fixture
def project(tmp_path: Path, builder: Builder) -> Project:
    """A project of one image of one package, which `ebuild` writes."""
    return Project(write(tmp_path / "project", TREE), variables(builder))


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
    if not list(project.folder.glob("build/one/.packages.new/scratch/tmp/portage/*/one-1/temp/waiting")):
        return None
    return client.containers.list(filters={"label": "quern.work"})[0]


def wait_for(question: Any, seconds: float) -> Any:  # noqa: ANN401
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return answer


def test_same_bytes_as_on_this_machine(tmp_path: Path, builder: Builder, client: Any) -> None:  # noqa: ANN401
    """The whole of hello, from source in both; a second run and another name of the builder run nothing."""
    common = {
        "QUERN_PORTAGE_DISTFILES": KEPT_DISTFILES or str(tmp_path / "distfiles"),
        "QUERN_POSTBUILD_ENGINES": "none",
        "SOURCE_DATE_EPOCH": "1700000000",
    }
    raw = make_project(tmp_path / "raw", common)
    raw.doit("image:hello")
    project = make_project(tmp_path / "docker", variables(builder, **common))
    output = project.doit("image:hello")
    assert ran(output) == STEPS
    assert set(built(output)) == {"app-misc/hello-quern-1", "sys-kernel/linux-headers-6.1.4", "sys-libs/musl-1.2.5"}
    assert "hello:   logs: >>> Emerging (1 of" in output
    for step in ("strip", "tarball", "image"):
        digests = [(each.folder / f"build/hello/{step}.digest").read_text() for each in (raw, project)]
        assert digests[0] == digests[1], step
    assert client.containers.list(all=True) == []
    assert ran(project.doit("image:hello")) == []
    client.images.get(builder.name).tag("quern-test/other", tag="name")
    assert ran(project.doit("image:hello", variables={"QUERN_DOCKER_IMAGE": "quern-test/other:name"})) == []


def test_another_builder_image_builds_anew(project: Project, builder: Builder) -> None:
    ebuild(project, "echo built > built; insinto /; doins built")
    assert built(project.doit("root:one")) == ["app-misc/one-1"]
    another = builder.changed("quern-test/builder:changed")
    output = project.doit("root:one", variables={"QUERN_DOCKER_IMAGE": another})
    assert (ran(output), built(output)) == (["packages", "root"], ["app-misc/one-1"])


def test_ordinary_user(project: Project, as_user: Callable[[Project, str], str]) -> None:
    """In the group docker: root owns the trees, and nobody else can read all of them; the outputs are the user's."""
    ebuild(project, "echo secret > secret; insinto /etc; insopts -m 0600; doins secret")
    subprocess.run(["chown", "-R", "65534:65534", project.folder], check=True)
    assert ran(as_user(project, "image:one")) == STEPS
    assert all(path.stat().st_uid == 65534 for path in (project.folder / "images").iterdir())
    with tarfile.open(project.tarball("one")) as tar:
        assert {(member.uid, member.gid) for member in tar} == {(0, 0)}
        assert "etc/secret" in [member.name.removeprefix("./") for member in tar]
    assert ran(as_user(project, "image:one")) == []
    (project.folder / "profiles/one/make.defaults").write_text('CFLAGS="-O1"\n')
    assert ran(as_user(project, "image:one")) == STEPS


def test_packages_cannot_escape(project: Project, tmp_path: Path) -> None:
    ebuild(project, ESCAPES)
    project.doit("root:one")
    setuid = project.folder / "build/one/root/image/usr/bin/setuid"
    assert setuid.stat().st_mode & 0o7777 == 0o4755
    assert (project.folder / "build/one").stat().st_mode & 0o077 == 0  # nobody else comes near it
    assert not list(tmp_path.rglob("escaped"))


def test_confinement(project: Project, client: Any) -> None:  # noqa: ANN401
    """As the daemon sees it; and whatever becomes of quern, its container ends."""
    project.variables |= {"QUERN_DOCKER_MEMORY": "1g", "QUERN_DOCKER_CPUS": "1.5", "QUERN_DOCKER_CAPABILITIES": "MKNOD"}
    with building(project, client) as (process, container):
        host = container.attrs["HostConfig"]
        assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], [*CAPABILITIES, "MKNOD"])
        assert (host["SecurityOpt"], host["Privileged"], host["NetworkMode"]) == (["no-new-privileges"], False, "none")
        assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (1 << 30, 1 << 30, 1_500_000_000)
        assert container.name == f"quern-images-one-{process.pid}"
        writable = {mount["Destination"] for mount in container.attrs["Mounts"] if mount["RW"]}
        work = project.folder / "build/one"
        assert writable == {str(work / name) for name in (".packages.new", "host", "logs")}
        assert "-j2" in container.exec_run(["sh", "-c", "cat /proc/*/environ | tr '\\0' '\\n'"]).output.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(project: Project, client: Any, number: int) -> None:  # noqa: ANN401
    with building(project, client) as (process, _):
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert client.containers.list(all=True) == []


def test_killed(project: Project, client: Any) -> None:  # noqa: ANN401
    """Killed outright, the container ends by itself, and the next run sweeps it up; a stranger's is left alone."""
    stranger = client.containers.create(project.variables["QUERN_DOCKER_IMAGE"], ["true"], network_mode="none")
    with building(project, client) as (process, container):
        process.kill()
        process.wait()
        wait_for(lambda: container.reload() or container.status == "exited", 10)
    ebuild(project, "true")
    project.doit("packages:one")
    assert [each.id for each in client.containers.list(all=True)] == [stranger.id]


def test_failure_keeps_the_container_if_asked(project: Project, client: Any) -> None:  # noqa: ANN401
    ebuild(project, 'die "no, ümlaut"')
    output = project.doit("packages:one", status=1)
    assert "no, ümlaut" in output
    (kept,) = client.containers.list(all=True)
    assert f"Container {kept.name} is kept" in output
    project.doit("packages:one", status=1, variables={"QUERN_BUILD_KEEP_FAILED": "off"})
    assert client.containers.list(all=True) == []
    project.doit("packages:one", status=1)
    absent = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    assert "what there is of one in it stays" in project.doit("clean", "packages:one", variables=absent)
    project.doit("packages:one", status=1)
    project.doit("clean", "-c", "image:one")
    assert client.containers.list(all=True) == []


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


SERVER = """
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[2])
http.server.HTTPServer((sys.argv[1], 8080), handler).serve_forever()
"""


@pytest.fixture(scope="module")
def networked() -> Iterator[Builder]:
    """A builder in a daemon whose containers have a network when they ask for one."""
    daemon = Dockerd(bridge=True)
    try:
        daemon.start()
        yield Builder.imported(daemon)
    finally:
        daemon.stop()


@contextmanager
def serving(builder: Builder, folder: Path) -> Iterator[str]:
    """A folder's files by HTTP, at an address that the containers reach."""
    command = builder.daemon.beside(sys.executable, "-c", SERVER, GATEWAY, str(folder))
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            yield f"http://{GATEWAY}:8080"
        finally:
            server.kill()


def test_sources_are_fetched_first(tmp_path: Path, project: Project, networked: Builder) -> None:
    """By a container with a network; that of the build has none."""
    content = b"of a server\n"
    digests = f"BLAKE2B {hashlib.blake2b(content).hexdigest()} SHA512 {hashlib.sha512(content).hexdigest()}"
    write(project.folder, {"tree/app-misc/one/Manifest": f"DIST one.txt {len(content)} {digests}\n"})
    commands = '[[ $(ls /sys/class/net) == lo ]] || die\ninsinto /\ndoins "${DISTDIR}/one.txt"'
    ebuild(project, commands, f'SRC_URI="http://{GATEWAY}:8080/one.txt"\nsrc_unpack() {{ :; }}')
    project.variables |= variables(networked)
    assert "one.txt could not be fetched" in project.doit("packages:one", status=1)
    (tmp_path / "served").mkdir()
    (tmp_path / "served/one.txt").write_bytes(content)
    with serving(networked, tmp_path / "served"):
        project.doit("root:one")
    assert (project.folder / "build/one/root/image/one.txt").read_bytes() == content


def test_packages_of_a_binhost_are_fetched_first(tmp_path: Path, project: Project, networked: Builder) -> None:
    ebuild(project, "echo content > file; insinto /; doins file")
    project.variables |= variables(networked)
    project.doit("packages:one")
    other = Project(tmp_path / "other", project.variables)
    shutil.copytree(project.folder, other.folder, ignore=shutil.ignore_patterns("build", ".doit.db"))
    with serving(networked, project.folder / "build/one/packages/view") as address:
        output = other.doit("root:one", variables={"QUERN_PORTAGE_BINHOST": address})
    assert built(output) == []
    assert (other.folder / "build/one/root/image/file").read_text() == "content\n"


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
    command = f"docker create --name quern-images-one-$$ {image} true; exec {sys.executable} -m doit packages:one"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **project.variables}
    output = subprocess.run(["sh", "-c", command], cwd=project.folder, env=environment, capture_output=True, text=True)
    assert output.returncode == 1
    assert "is already in use" in output.stdout + output.stderr
    assert "Traceback" not in output.stdout + output.stderr


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


def test_building_in_a_tmpfs(project: Project, client: Any) -> None:  # noqa: ANN401
    """It may be executed in; one that is full is said in one line, and a larger one will do."""
    project.variables["QUERN_DOCKER_WORKDIR_STORAGE"] = "tmpfs:16m"
    ebuild(project, FILLING)
    output = project.doit("packages:one", status=1)
    assert "packages:one\ndocker.workdir_storage = tmpfs:16m is full: name a larger one, or folder; log: " in output
    project.doit("root:one", variables={"QUERN_DOCKER_WORKDIR_STORAGE": "tmpfs:64m"})
    root = project.folder / "build/one/root/image"
    assert (root / "where").read_text().startswith("/quern/scratch/one-")
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
