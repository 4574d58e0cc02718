"""The docker driver against a real daemon, in a builder made of this machine's own packages."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from quern.worker.gpkg import XATTR, opened
from tests.builders import Builder
from tests.building import CHECKOUT, TIME, Project, built, make_project, open_to_all, ran
from tests.containers import building, ebuild, one_package, variables, wait_for
from tests.projects import write
from tests.servers import serving
from tests.trees import CAPABILITY

pytestmark = [pytest.mark.docker, pytest.mark.emerge]


IMAGE = "musl-busybox"

STEPS = ["portage", "packages", "root", "strip", "tarball", "image"]

CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"]

# an image's own, for its files
ACCOUNTS = "insinto /etc; newins - passwd <<< one:x:70:71::/:/bin/false; newins - group <<< one:x:71:"

ESCAPES = """
    set +e
    [[ -d /run/quern/repositories/tree && ! -e /quern/repositories ]] || die "the repository is elsewhere"
    touch /run/quern/repositories/tree/escaped && die "the repository can be written to"
    touch /usr/portage/escaped && die "the tree can be written to"
    touch /quern/worker/escaped && die "the worker can be written to"
    touch "${DISTDIR}/escaped" && die "distfiles can be written to"
    touch "${PORTAGE_CONFIGROOT}/escaped" /run/quern/inputs/escaped && die "configuration can be written to"
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


@pytest.fixture
def project(tmp_path: Path, builder: Builder) -> Project:
    """A project of one image of one package, which `ebuild` writes."""
    return one_package(tmp_path / "project", builder)


User = Callable[..., str]


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the system's Python needs to run quern with docker: copies, compiled.

    This Python may be out of a user's reach (below /root, say).
    """
    folder = tmp_path_factory.mktemp("modules") / "python"
    names = ("doit", "cloudpickle", "getconf", "docker", "requests", "urllib3", "idna", "certifi", "charset_normalizer")
    for name in names:
        found = find_spec(name)
        if found is not None and found.origin is not None:  # which of them there are depends on the versions
            shutil.copytree(Path(found.origin).parent, folder / name)
    shutil.copytree(CHECKOUT / "quern", folder / "quern", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["/usr/bin/python3", "-m", "compileall", "-q", folder], check=True)
    return folder


@pytest.fixture
def as_user(tmp_path: Path, builder: Builder, modules: Path) -> Iterator[User]:
    """Runs doit as an ordinary user whom the daemon trusts; gives what it prints."""
    for folder in (modules, tmp_path):
        open_to_all(folder)

    def run(project: Project, *words: str, status: int = 0, module: Sequence[str] = ("-m", "doit")) -> str:
        command = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/python3",
            *module,
            *words,
        ]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(modules), **project.variables}
        ran = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
        assert ran.returncode == status, ran.stdout + ran.stderr
        return TIME.sub("", ran.stdout)

    builder.daemon.folder.chmod(0o711)
    builder.daemon.socket.chmod(0o666)
    yield run
    builder.daemon.folder.chmod(0o700)


def test_same_bytes_as_on_this_machine(
    tmp_path: Path,
    builder: Builder,
    client: Any,  # noqa: ANN401
    two_images: tuple[Project, str],
) -> None:
    """musl-busybox, from source in both; a second run and another name of the builder run nothing."""
    raw, _ = two_images
    own = {"QUERN_PORTAGE_BINPKG": str(tmp_path / "binpkgs")}
    project = make_project(tmp_path / "docker", {**raw.variables, **own, **variables(builder)})
    output = project.doit(f"image:{IMAGE}")
    assert ran(output) == STEPS
    assert {"sys-apps/busybox-1.37.0", "sys-libs/musl-1.2.5"} < set(built(output))
    assert f"{IMAGE}:   logs: >>> Emerging (1 of" in output
    for step in ("root", "strip", "tarball", "image"):
        digests = [(each.folder / f"build/{IMAGE}/{step}.digest").read_text() for each in (raw, project)]
        assert digests[0] == digests[1], step
    assert client.containers.list(all=True) == []
    assert ran(project.doit(f"image:{IMAGE}")) == []
    client.images.get(builder.name).tag("quern-test/other", tag="name")
    assert ran(project.doit(f"image:{IMAGE}", variables={"QUERN_DOCKER_IMAGE": "quern-test/other:name"})) == []


def test_another_builder_image_builds_anew(project: Project, builder: Builder) -> None:
    ebuild(project, "echo built > built; insinto /; doins built")
    assert built(project.doit("root:one")) == ["app-misc/one-1"]
    another = builder.changed("quern-test/builder:changed")
    output = project.doit("root:one", variables={"QUERN_DOCKER_IMAGE": another})
    assert (ran(output), built(output)) == (["packages", "root"], ["app-misc/one-1"])


SET = f"""
    echo built > built; insinto /; doins built; fowners 70:71 /built; fperms 4711 /built
    cat > set.py <<< 'import os, sys
os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("{CAPABILITY.hex()}"))'
    /usr/bin/python3 set.py "${{ED}}/built" || die
"""


def test_the_same_package_as_on_this_machine(tmp_path: Path, project: Project, builder: Builder) -> None:
    """In another folder too: whatever it writes down of its paths."""
    raw = one_package(tmp_path / "raw", builder)
    raw.variables["QUERN_BUILD_DRIVER"] = "raw"
    paths = "${ROOT} ${PORTAGE_OVERRIDE_EPREFIX} ${PORTAGE_TMPDIR} ${PKGDIR} ${DISTDIR} ${FILESDIR} ${PWD} ${D}"
    for each in (project, raw):
        ebuild(each, f"{ACCOUNTS}; echo {paths} > paths; insinto /; doins paths; {SET}")
        each.variables["QUERN_DOCKER_CAPABILITIES"] = "SETFCAP"
        assert built(each.doit("packages:one")) == ["app-misc/one-1"]
    packages = [each.folder / "build/one/packages/view/app-misc/one/one-1-1.gpkg.tar" for each in (project, raw)]
    assert packages[0].read_bytes() == packages[1].read_bytes()
    with opened(str(packages[0])) as package:
        (member,) = (each for each in package.image if each.name == "image/built")
    assert member.pax_headers[f"{XATTR}security.capability"].encode("utf-8", "surrogateescape") == CAPABILITY


def test_ordinary_user(project: Project, as_user: User) -> None:
    """In the group docker: root owns the trees, and nobody else can read all of them; the outputs are the user's."""
    secret = "echo secret > secret; insinto /etc; insopts -m 0600; doins secret; fowners 70:71 /etc/secret"
    ebuild(
        project,
        f"{ACCOUNTS}; {secret}\
{SET}",
    )
    project.variables["QUERN_DOCKER_CAPABILITIES"] = "SETFCAP"
    subprocess.run(["chown", "-R", "65534:65534", project.folder], check=True)
    assert ran(as_user(project, "image:one")) == STEPS
    assert all(path.stat().st_uid == 65534 for path in (project.folder / "images").iterdir())
    with tarfile.open(project.tarball("one")) as tar:
        assert {(member.uid, member.gid) for member in tar} == {(0, 0), (70, 71)}
        assert f"{XATTR}security.capability" in tar.getmember("./built").pax_headers
        assert "etc/secret" in [member.name.removeprefix("./") for member in tar]
    assert ran(as_user(project, "image:one")) == []
    (project.folder / "profiles/one/make.defaults").write_text('CFLAGS="-O1"\n')
    assert ran(as_user(project, "image:one")) == STEPS


CLOSED = """
    echo secret > secret
    insinto /root/deep
    doins secret
    insinto /var/lib/one
    doins secret
    fperms 0700 /root /root/deep /var
"""


def test_questions_about_folders_that_only_root_may_list(project: Project, as_user: User) -> None:
    """Of an ordinary user: what is in /root and, with the package database, in /var is listed in a container."""
    ebuild(project, CLOSED)
    subprocess.run(["chown", "-R", "65534:65534", project.folder], check=True)
    as_user(project, "image:one")
    answer = json.loads(as_user(project, "size:one", "--json").splitlines()[-1])
    files = {row["path"]: row["bytes"] for row in answer["content"]}
    assert (files["/root/deep/secret"], files["/var/lib/one/secret"]) == (7, 7)
    assert [row["package"] for row in answer["packages"]] == ["app-misc/one-1"]
    assert "Not counted: what is in " in as_user(project, "prune")
    ebuild(project, CLOSED.replace("echo secret", "echo secrets"))
    lines = as_user(project, "diff:one").splitlines()
    assert "   one:   app-misc/one ebuild changed" in lines
    assert [line for line in lines if "app-misc/one: " in line and line.endswith(" changed")]
    code = """
from pathlib import Path
from quern.project import project_images
from quern.questions.bill import bill_of
from quern.steps.base import Run
from quern.steps.chain import driver_of
import os
import re
image, = project_images(Path.cwd(), dict(os.environ))
print([each.cpv for each in bill_of(image, Run(driver_of(image, print), print)).components])
"""
    assert as_user(project, "-c", code, module=()) == "['app-misc/one-1']\n"


def test_a_failure_of_an_ordinary_user(project: Project, as_user: User) -> None:
    """Its reason is said, though its container is kept, and a shell opens in what it has left."""
    ebuild(project, 'chmod 0700 "${T}" "${WORKDIR}" || die; touch /usr/left || die; die oops')
    subprocess.run(["chown", "-R", "65534:65534", project.folder], check=True)
    output = as_user(project, "image:one", status=1)
    assert "app-misc/one-1 failed in its install phase" in output
    assert "oops" in output
    assert "docker makes no container" not in output
    assert "is kept until the next build" in output
    logs = [*(project.folder / "build/one/logs/packages").rglob("*")]
    assert {path.stat().st_uid for path in logs} == {65534}
    assert "app-misc:one-1" in " ".join(path.name for path in logs)
    for _ in range(2):
        assert "/work\n" in as_user(project, "shell:one", "--command=ls /usr/left && pwd")
    as_user(project, "clean", "-a")
    assert not (project.folder / "build/one").exists()


def test_verify(project: Project, as_user: User) -> None:
    """Of trees that are root's, by an ordinary user too; what comes out differently is found."""
    ebuild(project, "echo secret > secret; insinto /etc; insopts -m 0600; doins secret")
    subprocess.run(["chown", "-R", "65534:65534", project.folder], check=True)
    as_user(project, "image:one")
    assert "identical: tarball sha256:" in as_user(project, "verify:one")
    assert not (project.folder / "build/one/verify").exists()
    ebuild(project, 'echo "${RANDOM}${RANDOM}${RANDOM}" > secret; insinto /etc; insopts -m 0600; doins secret')
    project.doit("image:one")
    assert "one: app-misc/one-1: /etc/secret: content\n" in project.doit("verify:one", status=1)


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
        assert re.fullmatch(rf"quern-images-one-{process.pid}-app-misc_one-1-[0-9a-f]{{8}}", container.name)
        writable = {mount["Destination"] for mount in container.attrs["Mounts"] if mount["RW"]}
        assert writable == {f"/run/quern/{name}" for name in ("build", "host", "tmp", "logs")}
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


def test_sources_are_fetched_first(tmp_path: Path, project: Project) -> None:
    """From a server of this machine, and from a mirror that is a folder here; the containers have no network."""
    content = b"of a server\n"
    digests = f"BLAKE2B {hashlib.blake2b(content).hexdigest()} SHA512 {hashlib.sha512(content).hexdigest()}"
    manifest = "".join(f"DIST {name} {len(content)} {digests}\n" for name in ("one.txt", "two.txt"))
    write(project.folder, {"tree/app-misc/one/Manifest": manifest})
    commands = '[[ $(ls /sys/class/net) == lo ]] || die\ninsinto /\ndoins "${DISTDIR}/one.txt" "${DISTDIR}/two.txt"'
    write(tmp_path, {"mirror/two.txt": content.decode(), "served/two.txt": ""})
    project.variables |= {"QUERN_PORTAGE_MIRRORS": f"here=file://{tmp_path}/mirror"}
    with serving(tmp_path / "served") as (address, _):
        ebuild(project, commands, f'SRC_URI="{address}/one.txt mirror://here/two.txt"\nsrc_unpack() {{ :; }}')
        assert "one.txt of app-misc/one-1 could not be fetched" in project.doit("packages:one", status=1)
        write(tmp_path, {"served/one.txt": content.decode()})
        project.doit("root:one")
    for name in ("one.txt", "two.txt"):
        assert (project.folder / "build/one/root/image" / name).read_bytes() == content


def test_packages_of_a_binhost_are_fetched_first(tmp_path: Path, project: Project) -> None:
    ebuild(project, "echo content > file; insinto /; doins file")
    project.doit("packages:one")
    other = Project(tmp_path / "other", project.variables)
    shutil.copytree(project.folder, other.folder, ignore=shutil.ignore_patterns("build", ".doit.db"))
    with serving(project.folder / "build/one/packages/view") as (address, _):
        output = other.doit("root:one", variables={"QUERN_PORTAGE_BINHOST": address})
    assert built(output) == []
    assert (other.folder / "build/one/root/image/file").read_text() == "content\n"
    assert f"  BINHOST {address}\n" in (other.folder / "build/one/packages/packages.lock").read_text()


def test_image_that_the_daemon_has_lost(project: Project, client: Any) -> None:  # noqa: ANN401
    """Removed, or its name given to another: it comes back without a container."""
    from docker.errors import ImageNotFound

    project.variables["QUERN_POSTBUILD_ENGINES"] = "docker"
    ebuild(project, "echo one > one; insinto /; doins one")
    project.doit("image:one")
    image = client.images.get("one:latest")
    client.images.remove(image.id, force=True)
    with pytest.raises(ImageNotFound):
        client.images.get("one:latest")
    for _ in range(2):
        output = project.doit("image:one")
        assert ran(output) == ["image"]
        assert "container" not in output
        assert client.images.get("one:latest").id == image.id
        assert ran(project.doit("image:one")) == []
        client.images.get(project.variables["QUERN_DOCKER_IMAGE"]).tag("one", tag="latest")
    client.images.remove("one:latest")


def test_nothing_of_the_machine_or_the_builder_image(project: Project, builder: Builder, tmp_path: Path) -> None:
    """Neither the accounts of the image that builds, nor a host name: the package is that of this machine."""
    raw = one_package(tmp_path / "raw", builder)
    raw.variables["QUERN_BUILD_DRIVER"] = "raw"
    commands = """
    uname -n > facts; umask >> facts; cat /etc/passwd /etc/group >> facts; echo "${HOSTNAME}" >> facts
    insinto /usr/share; doins facts; newins - others <<< ""; fowners nobody:nobody /usr/share/others
    """
    for each, jobs in ((project, "1"), (raw, "3")):
        ebuild(each, commands)
        each.doit("root:one", variables={"QUERN_EMERGE_JOBS": jobs})
    packages = [each.folder / "build/one/packages/view/app-misc/one/one-1-1.gpkg.tar" for each in (project, raw)]
    assert packages[0].read_bytes() == packages[1].read_bytes()
    facts = (project.folder / "build/one/root/image/usr/share/facts").read_text().splitlines()
    assert facts[:4] == [
        "localhost",
        "0022",
        "root:x:0:0:root:/root:/bin/sh",
        "nobody:x:65534:65534:nobody:/:/bin/false",
    ]
    assert facts[4:] == ["root:x:0:", "nobody:x:65534:", "localhost"]
