"""`doit try:NAME`: the finished image runs as in docker, and nothing of that is kept."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quern.command_line import taken
from quern.drivers.confinement import obstacle
from quern.errors import ConfigError
from quern.project import Image
from quern.questions import QUESTIONS
from quern.questions.try_image import Program, program_of
from quern.steps import copies
from tests.building import CHECKOUT, Project, ran, snapshot
from tests.conftest import tool
from tests.containers import wait_for
from tests.projects import image_of, write
from tests.readme import blocks
from tests.terminals import typing
from tests.test_confine import running
from tests.trying import compiled, make_bench


def image(folder: Path, lines: str = "entrypoint = /bin/x\ncommand = a b\n") -> Image:
    conf = write(folder, {"one.conf": f"[build]\nprofile = a:b\n[dockergen]\n{lines}"})
    return image_of(conf / "one.conf", folder / "build/one")


def test_programs(tmp_path: Path) -> None:
    one = image(tmp_path)
    assert program_of(one, "", "") == Program(("/bin/x", "a", "b"), {})
    assert program_of(one, "", "'c d'") == Program(("/bin/x", "c d"), {})
    assert program_of(one, "sh -c 'echo $A'", "") == Program(("sh", "-c", "echo $A"), {})
    assert program_of(one, "sh", "-x") == Program(("sh", "-x"), {})
    assert program_of(one, "A=1 B='x =y' sh C=2", "") == Program(("sh", "C=2"), {"A": "1", "B": "x =y"})
    assert program_of(one, '["A=1", "x"]', "") == Program(("A=1", "x"), {})
    assert program_of(image(tmp_path / "other", "command = a b\n"), "", "") == Program(("a", "b"), {})


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    command = next(
        word for word in shlex.split(blocks("testing", "Run the image by hand")[0]) if word.startswith("--command=")
    )
    argv = ("sh", "-c", "echo $COLOUR; exit 3")
    assert program_of(image(tmp_path), command.partition("=")[2], "") == Program(argv, {"COLOUR": "blue"})


def test_programs_that_are_none(tmp_path: Path) -> None:
    for text, message in {
        "'open": "--command='open: expected words quoted as in a shell",
        "A=1": "--command=A=1: expected a program after the variables",
    }.items():
        with pytest.raises(ConfigError, match=message):
            program_of(image(tmp_path), text, "")
    with pytest.raises(ConfigError, match="no entrypoint and no command; say what to run: doit try:one --command="):
        program_of(image(tmp_path, "user = 1\n"), "", "")


@pytest.mark.parametrize(
    "words",
    [
        ["try:one", "--command=A=1 sh", "A=1"],
        ["image:one", "--command", "A=1 sh"],
        ["try:one", "--network", "A=1"],
        ["try:one", "--command", "-x=1"],
        ["why:one", "--path"],
    ],
)
def test_words_that_doit_takes_rightly(words: list[str]) -> None:
    assert taken(words, QUESTIONS) == ""


def test_words_that_doit_takes_for_its_variables() -> None:
    said = (
        "doit takes a word with = in it, 'A=1 sh', for one of its own variables; write {} and its text as one word: {}"
    )
    assert taken(["try:one", "--command", "A=1 sh"], QUESTIONS) == said.format("--command", "--command='A=1 ...'")
    assert taken(["-n", "2", "try", "-c", "A=1 sh"], QUESTIONS) == said.format("-c", "--command='A=1 ...'")
    assert taken(["why:one", "--path", "/a=b"], QUESTIONS).endswith("--path='/a=b'")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An image that has one program, tests/data/act.c."""
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")
    tool("gcc", "gcc")
    tool("scanelf", "pax-utils")
    folder = tmp_path_factory.mktemp("try")
    return make_bench(folder / "project", compiled(folder / "act"))


def run(project: Project, *words: str, typed: str = "", **variables: str) -> tuple[list[str], list[str], int]:
    """What the program prints, what it complains of, and its exit status."""
    finished = subprocess.run(
        [sys.executable, "-m", "doit", "-r", "zero", "try:one", *words],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **variables},
        input=typed,
        capture_output=True,
        text=True,
    )
    return finished.stdout.splitlines(), finished.stderr.splitlines(), finished.returncode


@pytest.mark.emerge
def test_it_runs_as_the_image_says(project: Project) -> None:
    """Entrypoint and command; user, environment and folder; then others in their place."""
    said = {"QUERN_DOCKERGEN_ENTRYPOINT": "/bin/act who", "QUERN_DOCKERGEN_COMMAND": "x", "QUERN_DOCKERGEN_USER": "app"}
    assert run(project, **said) == (["1000:1001 /some/where"], [], 0)
    said["QUERN_DOCKERGEN_ENTRYPOINT"] = "/bin/act"
    assert run(project, "--arguments=say 'one  two'", **said) == (["one  two"], [], 0)
    words, errors, status = run(project, "--command=A='1 2' COLOUR=red act environment x")  # by PATH
    assert {"A=1 2", "COLOUR=red", "HOME=/root"} <= set(words)
    assert not {word for word in words if word.startswith(("TERM=", "PYTHONPATH="))}
    assert (errors, status) == ([], 0)
    assert run(project, "-c", "act exit 7") == ([], [], 7)
    assert run(project, "-c", "act die x")[2] == 128 + signal.SIGSEGV
    assert run(project, "-c", "absent") == ([], ["exec absent: no such file or directory"], 127)
    assert run(project) == ([], ["exec /absent: no such file or directory"], 127)


@pytest.mark.emerge
def test_its_streams_are_the_users(project: Project) -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))  # more than any pipe holds
    found, errors, status = run(project, "--command=act read /dev/stdin", typed=text)
    assert ("\n".join(found) + "\n", errors, status) == (text, [], 0)
    assert run(project, "--command=act say unread", typed=text) == (["unread"], [], 0)
    head = f"{sys.executable} -m doit -r zero try:one --command='act flood x' | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    argv = ["sh", "-c", head]
    shell = subprocess.run(argv, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=60)
    assert (shell.stdout, shell.stderr) == ("x\n", "")


@pytest.mark.emerge
def test_nothing_is_kept_and_nothing_else_is_there(project: Project) -> None:
    work = project.folder / "build/one"
    before = snapshot(work / "root"), snapshot(work / "strip"), snapshot(work / "tarball")
    for path in ("/new", "/bin/act.new", "/data/new", "/dev/shm/new"):
        assert run(project, f"--command=act write {path}") == ([], [], 0)
        assert run(project, f"--command=act read {path}")[2] == 1
    assert (snapshot(work / "root"), snapshot(work / "strip"), snapshot(work / "tarball")) == before
    assert list(work.glob(".try*")) == []
    assert run(project, "--command=act connect 192.0.2.1")[0] == ["192.0.2.1: Network is unreachable"]
    assert run(project, f"--command=act read {project.folder}/dodo.py")[2] == 1
    interfaces = [len(run(project, "--command=act read /proc/net/dev", *more)[0]) for more in ([], ["--network"])]
    assert interfaces == [3, len(Path("/proc/net/dev").read_text().splitlines())]


def pausing(name: str) -> bool:
    """Whether the program itself runs, not only what is about to start it."""
    for pid in running(name):
        with contextlib.suppress(OSError):  # it has ended
            if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"act"):
                return True
    return False


@pytest.mark.emerge
def test_a_terminal(project: Project) -> None:
    """It is the program's, with Ctrl-C."""
    with typing(project, "try:one", "--command=act pause there") as terminal:
        terminal.expect("act runs in a copy of the image; nothing done there is kept")
        wait_for(lambda: pausing("there"), 60)  # before, Ctrl-C finds what starts it
        terminal.send("\x03")
        assert terminal.status() == 128 + signal.SIGINT
    with typing(project, "try:one", "--command=act environment x") as terminal:
        terminal.expect("TERM=xterm")
        assert terminal.status() == 0


@pytest.mark.emerge
def test_one_that_is_killed_while_others_build(project: Project) -> None:
    """A build does not wait for it; what a killed one has left is removed by the next, one that runs is kept."""
    work, name = project.folder / "build/one", f"quern-try-{os.getpid()}"
    command = [sys.executable, "-m", "doit", "try:one", f"--command=act pause {name}"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen(command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: running(name), 60)
        assert ran(project.doit("image:one")) == []
        assert run(project, "--command=act say x") == (["x"], [], 0)
        assert copies.left(work) == []
        assert len(list(work.glob(".try.*.new"))) == 1
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not running(name), 60)
    (left,) = copies.left(work)
    assert f".try.{left.name.split('.')[2]}.new" in project.doit("prune")
    assert run(project, "--command=act say x") == (["x"], [], 0)
    assert list(work.glob(".try.*")) == []


@pytest.mark.emerge
def test_what_it_says_where_it_cannot(project: Project) -> None:
    assert "user = nobody: the image's /etc/passwd" in project.doit(
        "try:one", "-c", "act who x", status=1, variables={"QUERN_DOCKERGEN_USER": "nobody"}
    )
    assert "--command='A=1 ...'" in project.doit("try:one", "-c", "A=1 act who x", status=3)
