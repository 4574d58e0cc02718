"""What is to be seen while images are built, on a terminal and elsewhere, by the real doit and emerge."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quern.reporter import STAGE
from quern.terminal import folded
from tests.building import CHECKOUT
from tests.conftest import tool
from tests.projects import write
from tests.screen import Terminal
from tests.test_emerging import TREE, ebuild

TOOK = r"\d[\d.]* (?:min|s|h)(?: \d+ (?:s|min))?"

# is compiled until a test lets it go on, in the one folder of this machine that a confined build finds where it is
WAITING = """\
src_compile() {{
	until [[ -e {sources}/go-on ]]; do sleep 0.1; done
}}
"""
FAILING = 'die "cannot [bold]compile[/bold] :smile: /usr/x"'


class Project:
    """A project of two images with one package each."""

    def __init__(self, folder: Path) -> None:
        files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
        files |= {f"tree/{name}": text for name, text in TREE.items()}
        for name in ("one", "two"):
            files[f"profiles/{name}/quern.conf"] = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
            files[f"profiles/{name}/packages"] = f"lab/{name}\n"
            files[f"profiles/{name}/parent"] = "lab:image\n"
            files[f"tree/lab/{name}/{name}-1.ebuild"] = ebuild(WAITING.format(sources=folder / "build/distfiles"))
        files["tree/profiles/image/packages"] = ""
        self.folder = write(folder, files)
        self.go_on = write(folder, {"build/distfiles/.keep": ""}) / "build/distfiles/go-on"
        self.command = [sys.executable, "-m", "doit"]

    def environment(self, **variables: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm-256color", **variables}

    def doit(self, terminal: Terminal, *words: str, **variables: str) -> int:
        """Run doit on the terminal, and let the package go on when it is seen to be compiled."""

        def watch(terminal: Terminal) -> None:
            if " compile · " in terminal.text:
                self.go_on.touch()

        return terminal.run([*self.command, *words], self.folder, self.environment(**variables), watch)

    def lines(self, *words: str) -> tuple[int, list[str]]:
        """Run doit without a terminal; its exit status and output."""
        ran = subprocess.run(
            [*self.command, *words], cwd=self.folder, env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        return ran.returncode, ran.stdout.splitlines()


@pytest.mark.parametrize("words", ["portage:one", "portage", "prune", "-r zero explain:one --json"])
def test_nobody_reads_any_more(tmp_path: Path, words: str) -> None:
    """As after `| head`: it ends without a word, like other programs."""
    project = Project(tmp_path)
    write(project.folder / "profiles/one", {"packages": "lab/absent\n"})  # nothing is to be built
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [*project.command, *words.split()], cwd=project.folder, env=project.environment(),
        stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (141, "")


def match(rows: list[str], expected: list[str]) -> None:
    """Each row must match its expression."""
    assert len(rows) == len(expected), "\n".join(rows)
    for row, expression in zip(rows, expected, strict=True):
        assert re.fullmatch(expression, row), f"{row!r} is not {expression!r}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project; the tests below build in it, in their order."""
    tool("scanelf", "pax-utils")
    return Project(tmp_path_factory.mktemp("project"))


@pytest.mark.emerge
def test_interrupted_while_two_images_are_built(project: Project) -> None:
    terminal = Terminal()
    seen: list[list[str]] = []

    def watch(terminal: Terminal) -> bytes | None:
        if seen or not re.search(r" compile · ", terminal.text):
            return None
        if len(re.findall(r"^    (?:one|two)  packages ", terminal.text, re.M)) < 2:
            return None
        seen.append(terminal.rows)
        return b"\x03"

    assert terminal.run([*project.command, "-n", "2"], project.folder, project.environment(), watch) == 130
    at_work = next(row for row in seen[0] if " compile" in row)
    assert re.fullmatch(rf" {{9}}\(1 of 1\) lab/(one|two)-1 compile · {TOOK}", at_work)
    assert len([row for row in seen[0] if row.endswith("/logs/packages.log")]) == 2  # neither waits for the other
    ended = [row for row in terminal.rows if "interrupted" in row]
    assert sorted(ended) == [f"packages:{name} interrupted; run it again to go on" for name in ("one", "two")]
    assert "compile" not in terminal.text  # what was rewritten is gone
    assert not any(row.startswith(("    one  packages", "    two  packages")) for row in terminal.rows)
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (0, len(terminal.rows))
    assert not terminal.screen.cursor.hidden
    assert b"Traceback" not in terminal.written


@pytest.mark.emerge
def test_package_that_fails_on_a_narrow_terminal_without_colours(project: Project) -> None:
    recipe = project.folder / "tree/lab/one/one-1.ebuild"
    good = recipe.read_text()
    recipe.write_text(ebuild(body=FAILING))
    terminal = Terminal(columns=40, lines=30)
    try:
        assert project.doit(terminal, "image:one", NO_COLOR="1") == 1
    finally:
        recipe.write_text(good)
    assert not re.search(rb"\x1b\[[\d;]*[3-9]\d?[\d;]*m", terminal.written)
    at = next(number for number, row in enumerate(terminal.rows) if "failed after" in row)
    assert re.fullmatch(rf"  ✗ one  packages failed after {TOOK}", terminal.rows[at])
    said = " ".join(" ".join(terminal.rows[at + 1 :]).split())
    assert said.startswith("lab/one-1 failed in its install phase cannot [bold]compile[/bold] :smile: /usr/x log: ")
    assert terminal.screen.cursor.x == 0


@pytest.mark.emerge
def test_first_build(project: Project) -> None:
    terminal = Terminal(columns=100)
    assert project.doit(terminal, "image:one") == 0
    match(
        terminal.rows,
        [
            "  · one  portage up to date",
            r"    one  Building 1 of 1 packages: no binary package yet",
            rf"  ✓ one  packages 1 package, 1 built · {TOOK}",
            rf"  ✓ one  root     1 package, [\d.]+ kB · {TOOK}",
            rf"  ✓ one  strip    [\d.]+ kB(?:, [\d.]+ kB left out)? · {TOOK}",
            rf"  ✓ one  tarball  [\d.]+ kB, images/image-one-\d{{4}}-\d\d-\d\d\.tar\.gz · {TOOK}",
            rf"  ✓ one  image    one:latest, images/one\.oci\.tar · {TOOK}",
        ],
    )
    assert b"compile" in terminal.written
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (0, len(terminal.rows))


@pytest.mark.emerge
def test_second_build_is_one_line_and_draws_nothing(project: Project, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, pathlib, sys\n"
        f"atexit.register(lambda: pathlib.Path({str(tmp_path / 'modules')!r}).write_text(' '.join(sys.modules)))\n"
    )
    terminal = Terminal()
    assert project.doit(terminal, "image:one", "portage", PYTHONPATH=f"{tmp_path}:{CHECKOUT}") == 0
    assert terminal.rows == ["  · one; two  portage up to date"]
    modules = (tmp_path / "modules").read_text().split()
    assert "quern.reporter" in modules
    assert not {"rich", "quern.live", "quern.progress"} & set(modules)


@pytest.mark.emerge
def test_without_a_terminal(project: Project) -> None:
    project.go_on.touch()
    status, lines = project.lines("root:two")
    assert status == 0, lines
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert "\x1b" not in "".join(lines)
    said = [line[9:] for line in lines]
    assert said[:2] == ["-- portage:two", ".  packages:two"]
    assert said[2] == "   two: emerge's output goes to build/two/logs/packages.log"
    assert "   two: >>> Emerging (1 of 1) lab/two-1::lab" in said
    finished = said[said.index(".  root:two") - 1]
    assert re.fullmatch(rf"   packages:two is finished: 1 package, 1 built \({TOOK}\)", finished)
    again = [line[9:] for line in project.lines("root:two")[1]]
    assert again == [f"-- {step}:two" for step in ("portage", "packages", "root")]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), ["  ✓ one  portage  "]),
        (("-v", "0"), ["  ✓ one  portage  "]),
        (("-v", "2"), ["    one  Successfully loaded", "    one  Enabling profile images:one", "  ✓ one  portage  "]),
        (("-r", "console"), [".  portage:one", "   one: Successfully loaded"]),
    ],
)
def test_verbosity_is_doit_s(tmp_path: Path, words: tuple[str, ...], shown: list[str]) -> None:
    """Of a step that says something; -v 0 and 1 keep that to themselves."""
    terminal = Terminal(columns=160)
    project = Project(tmp_path)
    assert project.doit(terminal, *words, "portage:one") == 0
    for beginning in shown:
        assert any(row.startswith(beginning) for row in terminal.rows), terminal.text
    assert len(shown) > 1 or len(terminal.rows) == 1, terminal.text


def test_message_of_a_step_that_could_not_begin(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (project.folder / "profiles/one/parent").write_text("lab:imag\n")
    terminal = Terminal(columns=160)
    assert project.doit(terminal, "image:one") == 1
    assert re.fullmatch(rf"  ✗ one  portage  failed after {TOOK}", terminal.rows[0])
    assert terminal.rows[1].endswith("profiles/one/parent:1: there is no profile lab:imag; did you mean lab:image?")
    assert b"Traceback" not in terminal.written


def test_tasks_of_others(tmp_path: Path) -> None:
    """They are shown as doit shows them, with their output."""
    project = Project(tmp_path)
    with (project.folder / "dodo.py").open("a") as file:
        file.write('\ndef task_mine():\n    return {"actions": ["echo of mine"], "verbosity": 2}\n')
    terminal = Terminal()
    assert project.doit(terminal, "mine") == 0
    assert terminal.rows == [".  mine", "of mine"]


def test_dumb_terminal_is_none(tmp_path: Path) -> None:
    terminal = Terminal(columns=160)
    assert Project(tmp_path).doit(terminal, "portage:one", TERM="dumb") == 0
    assert re.fullmatch(r"\d\d:\d\d:\d\d \.  portage:one", terminal.rows[0])
    assert b"\x1b" not in terminal.written


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        (">>> Emerging (1 of 4) lab/base-1::lab", True),
        ('Calling PORTAGE_CONFIGROOT="/x" emerge @profile', True),
        ("  logs: >>> Jobs: 0 of 4 complete", True),
        ("Waiting for container", True),
        ("Waiting for process 12 (build/binpkgs/.lock)", False),
        ("Warning: strip.paths: /x matches nothing in the image", False),
        ("Building 2 of 4 packages", False),
        ("What was built so far is in /x", False),
        ("no docker daemon at unix:///x; images/one.oci.tar was not loaded", False),
    ],
)
def test_stages_are_not_news(line: str, stage: bool) -> None:
    assert bool(STAGE.match(line)) == stage


def test_long_lines_are_folded_at_words(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as stream:
        text = folded(stream, "  " + "word " * 20 + "/a/path" * 15, "    one  ")
    first, *rest = text.splitlines()
    assert first.startswith("    one    word")
    assert len(first) <= 80
    assert all(line.startswith(" " * 11 + line.strip()[0]) for line in rest)
    assert rest[-1].strip() == "/a/path" * 15
