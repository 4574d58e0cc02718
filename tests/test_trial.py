"""test:NAME, in containers and in namespaces: what passes in one passes in the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.steps import trying
from quern.steps.trial import LOG_SIZE
from tests.building import Project, ran, snapshot
from tests.conftest import needs_root, tool
from tests.containers import wait_for
from tests.dockerd import Dockerd
from tests.projects import write
from tests.test_confine import ended, running
from tests.trying import Bench, compiled, doit_environment, make_bench

pytestmark = pytest.mark.emerge

STEPS = ["portage", "packages", "root", "strip", "tarball", "image"]


@pytest.fixture(scope="session")
def act(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's interpreter."""
    tool("gcc", "gcc")
    return compiled(tmp_path_factory.mktemp("act") / "act")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, act: Path) -> Project:
    """The image, built."""
    tool("scanelf", "pax-utils")
    return make_bench(tmp_path_factory.mktemp("trial") / "project", act)


@pytest.fixture(params=["namespaces", pytest.param("container", marks=pytest.mark.docker)])
def bench(request: pytest.FixtureRequest, project: Project) -> Iterator[Bench]:
    """The image, to be tested one way and the other."""
    if request.param == "namespaces":
        if reason := obstacle():
            pytest.skip(f"needs the right to make namespaces: {reason}")
        bench = Bench(project, {"QUERN_POSTBUILD_ENGINES": "none"})
    else:
        dockerd: Dockerd = request.getfixturevalue("dockerd")
        bench = Bench(project, {"QUERN_POSTBUILD_ENGINES": "docker", "DOCKER_HOST": dockerd.address})
        bench.make()
    bench.forget()
    yield bench
    if request.param == "container":
        import docker

        client = docker.DockerClient(bench.environ["DOCKER_HOST"])
        assert client.containers.list(all=True) == []
        assert client.volumes.list() == []
        client.close()


@pytest.fixture
def token(tmp_path: Path) -> Iterator[str]:
    """A word that no other test's processes are called by."""
    name = f"quern-{os.getpid()}-{tmp_path.name}"
    yield name
    for pid in running(name):
        os.kill(pid, signal.SIGKILL)


def test_both_ways_are_tried(bench: Bench) -> None:
    bench.write(passes="")
    found = trying.trial_of(bench.image, bench.tests, bench.image.work / "copy")
    docker = "DOCKER_HOST" in bench.environ
    assert isinstance(found, trying.InContainer if docker else trying.InNamespaces)


def test_verdicts(bench: Bench) -> None:
    """Each file by itself, in order, and all of them although some fail."""
    bench.write(
        fails="say one\nsay \033[1mtwo\nexit 3",
        passes="say fine",
        missing="#!/usr/bin/python4 -I\n",
        crashes="daemon x\ndie",
        sets_exit="exit 125",
        text="",
        odd="#!",
        windows="#!/bin/act\r\n",
    )
    (bench.tests / "text").write_text("no program")
    write(bench.tests, {"not-executable": "#!/bin/act\n", ".hidden": "", "backup~": "", "data/file": "x"})
    logs = f"{os.path.relpath(bench.project.folder)}/build/one/logs/test"
    logs = logs if not logs.startswith("..") else f"{bench.project.folder}/build/one/logs/test"
    lines = bench.run()
    assert lines == [
        "crashes: FAILED: SIGSEGV ended it",
        f"  log: {logs}/crashes.log",
        "fails: FAILED: exit status 3",
        "  one",
        "  \x1b[1mtwo",
        f"  log: {logs}/fails.log",
        "missing: FAILED: the image cannot run `#!/usr/bin/python4 -I`: what is named there must be in the image",
        f"not-executable: FAILED: it is not executable: chmod +x {bench.tests}/not-executable",
        "odd: FAILED: the image cannot run `#!`: what is named there must be in the image",
        "passes: passed",
        "sets_exit: FAILED: exit status 125",
        f"  log: {logs}/sets_exit.log",
        "text: FAILED: it is no program: expected a first line like `#!/bin/sh`, whose interpreter is in the image,"
        " or an ELF file",
        "windows: FAILED: its lines end with CR LF, and the kernel takes the CR for a part of a name: save it with LF",
        "8 of 9 tests of one failed: crashes, fails, missing, not-executable, odd, sets_exit, text, windows",
    ]
    assert bench.log("fails") == "one\n\033[1mtwo\n"
    assert not (bench.image.work / ".test.new").is_dir() or not any((bench.image.work / ".test.new").iterdir())


def test_what_a_test_finds(bench: Bench) -> None:
    """Folder, user, environment and files are those of the image; the entrypoint is not run; it may write to its own
    copy, and never to the tests.
    """
    bench.write(
        a="who\nenvironment\nread /etc/passwd\nread /etc/hosts\nread /.quern-tests/data/file\nbind 80\n"
        "read /proc/self/status",
        b="write /new\nwrite /data/new\nwrite /some/where/new\nwrite /dev/null\nwrite /dev/shm/new",
        c="read /new",
        d="write /.quern-tests/d",
        e="read /etc/shadow",
    )
    write(bench.tests, {"data/file": "beside\n"})
    tree = bench.image.work / "strip/image"
    before = snapshot(tree), snapshot(bench.image.work / "root"), snapshot(bench.tests)
    lines = [line for line in bench.run() if not line.startswith("  log: ")]
    assert lines == [
        "a: passed",
        "b: passed",
        "c: FAILED: exit status 1",
        "  /new: No such file or directory",
        "d: FAILED: exit status 1",
        "  /.quern-tests/d: Read-only file system",
        "e: FAILED: exit status 1",
        "  /etc/shadow: No such file or directory",
        "3 of 5 tests of one failed: c, d, e",
    ]
    assert (snapshot(tree), snapshot(bench.image.work / "root"), snapshot(bench.tests)) == before
    said = bench.log("a").splitlines()
    assert said[0] == "0:0 /some/where"
    path = trying.ENVIRONMENT["PATH"]
    assert sorted(said[1:5]) == ["COLOUR=blue", "HOME=/root", "HOSTNAME=localhost", f"PATH={path}"]
    assert said[5].startswith("root:x:0:0:")
    assert "127.0.0.1\tlocalhost" in said
    assert "beside" in said
    assert {"CapBnd:\t00000000880400fb", "NoNewPrivs:\t1"} < set(said)  # see namespaces.KEPT


def test_as_the_images_user(bench: Bench) -> None:
    """Whoever that is by the image's own files."""
    bench.write(a="who\nenvironment\nread /.quern-tests/a\nbind 80\nwrite /new")
    bench.tests.chmod(0o700)
    (bench.tests / "a").chmod(0o700)
    bench.environ["QUERN_DOCKERGEN_USER"] = "app"
    bench.make()
    assert bench.run()[-1] == "1 of 1 test of one failed: a"
    said = bench.log("a").splitlines()
    assert (said[0], said[-1]) == ("1000:1001 /some/where", "/new: Permission denied")
    assert "HOME=/home/app" in said
    bench.environ["QUERN_DOCKERGEN_USER"] = "stranger"
    bench.make()
    message = "[dockergen] user = stranger: the image's /etc/passwd and /etc/group do not have it"
    assert bench.run() == [message]


def test_the_time_is_up(bench: Bench, token: str) -> None:
    """For one test, not for the next; what it has started ends with it."""
    bench.write(a=f"say begun\ndaemon {token}\npause", b="", c=f"daemon {token}")
    bench.environ["QUERN_TESTS_TIMEOUT"] = "2"
    lines = bench.run()
    assert lines[:2] == ["a: FAILED: it did not end within 2 s ([tests] timeout)", "  begun"]
    assert lines[3:] == ["b: passed", "c: passed", "1 of 3 tests of one failed: a"]
    assert ended(token)


def test_network(bench: Bench, request: pytest.FixtureRequest) -> None:
    """There is none but one's own; asked for, it is that of this machine, or what docker.network says."""
    bench.write(a="link /proc/self/ns/net\nconnect 192.0.2.1")
    lines = bench.run()
    assert lines[0] == "a: FAILED: exit status 1"
    assert lines[2] == "  192.0.2.1: Network is unreachable"
    beside = ["readlink", "/proc/self/ns/net"]
    if "DOCKER_HOST" in bench.environ:
        beside = request.getfixturevalue("dockerd").beside(*beside)
    outside = subprocess.check_output(beside, text=True)
    assert lines[1].strip() != outside.strip()
    bench.environ |= {"QUERN_TESTS_NETWORK": "on", "QUERN_DOCKER_NETWORK": "host"}
    bench.write(a="link /proc/self/ns/net\nread /etc/resolv.conf")
    assert bench.run() == ["a: passed"]
    assert bench.log("a").startswith(outside)


def test_what_is_printed_has_an_end(bench: Bench) -> None:
    bench.write(a="flood all work and no play")
    bench.environ["QUERN_TESTS_TIMEOUT"] = "3"
    assert bench.run()[-1] == "1 of 1 test of one failed: a"
    assert 0 < len(bench.log("a")) <= LOG_SIZE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted(bench: Bench, token: str, number: signal.Signals) -> None:
    """Nothing goes on, and the next run begins anew."""
    bench.write(a=f"say {token}\ndaemon {token}\npause")
    log = bench.image.work / "logs/test/a.log"
    log.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "doit", "test:one"],
        cwd=bench.project.folder,
        env=doit_environment(bench),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: log.is_file() and token in log.read_text() and running(token), 60)
    process.send_signal(number)
    assert process.wait(30) == (-number if number == signal.SIGKILL else 128 + number)
    assert ended(token)
    bench.write(a=f"say {token}")
    assert bench.run() == ["a: passed"]


def test_when_it_runs_again(project: Project) -> None:
    """When the image, a test or an option is another one, or the last run failed; never for the image's own sake."""
    bench = Bench(project, {})
    bench.write(a="say one")
    assert "test:one is finished: 1 test passed (" in project.doit("test:one")
    before = snapshot(project.folder / "build/one/image"), (project.folder / "build/one/tarball.json").read_text()
    assert ran(project.doit("test")) == []
    (bench.tests / "a").touch()
    assert ran(project.doit("test:one")) == []
    bench.write(a="say two", **{os.fsdecode(b"b\xff"): ""})
    assert ran(project.doit("image:one", "explain:one")) == ["explain"]
    assert ran(project.doit("test:one")) == ["test"]
    write(bench.tests, {"data/file": "x"})
    assert ran(project.doit("test:one")) == ["test"]
    (bench.tests / "a").chmod(0o644)
    assert ran(project.doit("test:one", status=1)) == ["test"]
    assert "chmod +x profiles/one/tests/a" in project.doit("test:one", status=1)
    (bench.tests / "a").chmod(0o755)
    assert "Testing" not in project.doit("test:one")  # all is as it was when it passed
    assert ran(project.doit("test:one", variables={"QUERN_TESTS_TIMEOUT": "50"})) == ["test"]
    assert (snapshot(project.folder / "build/one/image"), (project.folder / "build/one/tarball.json").read_text()) == (
        before
    )
    os.utime(bench.tests / "a", (4e9, 4e9))  # later than anything else in the profile
    packed = (project.folder / "build/one/tarball.digest").read_text()
    project.doit("clean", "tarball:one")
    assert ran(project.doit("image:one")) == ["tarball"]
    assert (project.folder / "build/one/tarball.digest").read_text() == packed
    variables = {"QUERN_DOCKERGEN_LABELS": "a=b"}
    assert ran(project.doit("test:one", variables=variables)) == ["image", "test"]
    bench.write()
    output = project.doit("test:one")
    assert ran(output) == ["image", "test"]
    assert "Testing" not in output
    assert ran(project.doit("test:one")) == []
    project.doit("clean", "test:one")
    assert not list((project.folder / "build/one").glob("test*"))


@needs_root
def test_where_nothing_can_be_run(bench: Bench) -> None:
    """One line; root in docker may make no namespaces either."""
    bench.write(a="")
    bench.environ["QUERN_POSTBUILD_ENGINES"] = "none"
    command = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all", sys.executable, "-m", "doit", "test:one"]
    ran_there = subprocess.run(
        command, cwd=bench.project.folder, env=doit_environment(bench), capture_output=True, text=True
    )
    assert ran_there.returncode == 1
    line = "one cannot be tested: no docker daemon here has it, and this machine allows no namespaces (unshare: "
    assert line in ran_there.stdout
    assert "Traceback" not in ran_there.stdout + ran_there.stderr
