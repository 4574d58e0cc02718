"""What README.rst says, held to the code; what it shows of builds is in test_readme_builds."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from quern import config
from quern.config.settings import Strip
from quern.portage.setup import STARTER
from quern.portage.tools import declared_tools
from quern.questions import CHORES, QUESTIONS
from quern.steps.chain import TASKS
from quern.steps.unresolved import lines
from tests.building import CHECKOUT, Project, make_project
from tests.projects import image_of, names, source_plan, write
from tests.readme import blocks, commands, files, sections, shell
from tests.reference import README, parts_of, reference
from tests.test_seed import MERGED, PROFILE, SEED

# So many literal blocks has each section, and each of them a test: one that is added wants another.
BLOCKS = {
    "quern": 3,  # test_ci, test_images
    "Change something": 1,
    "The steps": 1,
    "What is shown": 1,  # test_live
    "What would run, and why": 1,
    "When a package fails": 1,
    "What is in an image": 3,
    "Testing an image": 2,  # the second in test_try
    "The same bytes again": 2,
    "The lock": 2,
    "A project of your own": 4,
    "With Gentoo's tree": 3,
    "In a container": 1,
    "How to": 6,  # the first in test_docker_gentoo
}


def test_every_block_has_a_test() -> None:
    assert {title: len(blocks(title)) for title in sections() if blocks(title)} == BLOCKS


def test_blocks_are_those_that_ci_sees() -> None:
    """The first two are run by it; the parsers agree on them all."""
    found = [text for title in sections() for text in blocks(title)]
    for number in (1, 2, 3, len(found), len(found) + 1):
        argv = [str(CHECKOUT / ".ci/run"), "--print", str(number)]
        printed = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout
        assert printed == "".join(found[number - 1 : number])


def test_the_reference_of_the_options_is_that_of_the_code() -> None:
    assert parts_of(README.read_text())[1] == reference(), "python -m tests.reference --write"


def test_the_tasks_are_those_of_the_code() -> None:
    named = set(re.findall(r"^``doit (\w+)(?::NAME)?`` ", README.read_text(), re.MULTILINE))
    asked = {question.name for question in QUESTIONS} | {chore.name for chore in CHORES}
    assert named == {step.name for step in TASKS} | asked


def test_the_tools_that_builds_need_are_installed() -> None:
    """But for those that every Debian has, or gcc brings."""
    there = {"bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "mawk", "sed", "tar"}
    needed = {tool.debian for tool in declared_tools([STARTER])} - there - {"binutils"}
    first, second, _ = (block.partition("python3 -m venv")[0].split() for block in blocks("quern"))
    assert needed <= set(first) <= set(second)


CONFIGURATIONS = [text for title in sections() for text in blocks(title) if re.search(r"^\[[a-z:]+\]$", text, re.M)]


@pytest.mark.parametrize("text", CONFIGURATIONS, ids=lambda text: text.split("\n")[-2])
def test_a_configuration_can_be_read(tmp_path: Path, text: str) -> None:
    """And each of its lines counts."""
    above, named = files(text)
    (text,) = named.values() if named else [above]
    file = write(tmp_path, {"quern.conf": text}) / "quern.conf"
    found = config.load([file], {}, tmp_path)
    assert len(found.origins) == len(re.findall(r"^\S+ = ", text, re.M))


def test_the_example_with_gentoo_s_tree(tmp_path: Path) -> None:
    """Its files and its configuration, resolved with a small tree of that name."""
    profile, text, _ = blocks("With Gentoo's tree")
    _, shown = files(profile)
    assert shown == {path.name: path.read_text() for path in PROFILE.iterdir()}
    overlay = write(tmp_path / "overlay", {f"profiles/musl-python3/{name}": text for name, text in shown.items()})
    layout = re.findall(r"``([a-z_-]+ = [^`]+)``", sections()["With Gentoo's tree"].partition("::\n")[0])
    write(overlay, {"profiles/repo_name": "test-overlay\n", "metadata/layout.conf": "\n".join(layout)})
    file = write(tmp_path, {"musl-python3.conf": text}) / "musl-python3.conf"
    environ = {
        "QUERN_PORTAGE_REPOSITORIES": f"{SEED}/portage, {SEED}/musl-overlay, {overlay}",
        "QUERN_PORTAGE_BINPKG": str(tmp_path / "binpkg"),
        "QUERN_BUILD_OUTDIR": str(tmp_path / "images"),
    }
    assert names(source_plan(image_of(file, tmp_path / "work", environ))) == MERGED


def test_what_is_missing_is_said_so() -> None:
    """The example of a rule that takes too much; test_closure has the rest."""
    row = {
        "file": "/usr/lib/python3.13/lib-dynload/_ssl.cpython-313-x86_64-linux-musl.so",
        "package": "dev-lang/python-3.13.5",
        "kind": "library",
        "needs": "libssl.so.3",
        "was": "/usr/lib/libssl.so.3",
        "of": "dev-libs/openssl-3.0.20",
        "rule": "/usr/lib/libssl.so*",
    }
    (line,) = lines([row], Strip(doc=True, dev=True, paths=(row["rule"],)))
    assert " ".join(blocks("What is in an image")[0].split()) == f"Warning: {line}"


COMPLETION = """\
. <(doit tabcompletion --shell bash)
_get_comp_words_by_ref() { cur=$asked; words=(doit "$asked"); cword=1; }  # these two bash-completion has
__ltrim_colon_completions() { :; }
for asked in im image:musl-; do _doit; echo "${COMPREPLY[@]}"; done
"""


def test_names_are_completed(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", {})
    assert shell(project, COMPLETION).splitlines() == ["image", "image:musl-busybox image:musl-python3"]
    shown = shell(project, "doit tabcompletion --shell zsh")
    assert shown.startswith("#compdef doit\n")
    assert "doit list --template" in shown  # of steps only


def test_quern_builder(tmp_path: Path) -> None:
    """Its commands in a shell, but for the one with a file; and doit takes the project that it makes."""
    project = Project(write(tmp_path / "project", {}))
    project.folder.mkdir()
    for command in [command for command in commands() if command.startswith("quern-builder ")]:
        if ".conf" not in command:
            shell(project, command)
    assert "image:hello" in shell(project, "cd FOLDER; doit list --all")


def test_what_runs_on_a_checkout() -> None:
    modules = [command.split()[2] for command in commands() if command.startswith("python -m ")]
    assert modules == ["tests.picture", "tests.reproduce", "tests.crashes"]
    assert all(find_spec(module) for module in modules)
    argv = [sys.executable, "-m", "pytest", "-m", "not emerge", "--collect-only", "-q"]
    assert f"pytest {argv[3]} '{argv[4]}'" in commands()
    collected = subprocess.run(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "tests/test_readme.py::test_what_runs_on_a_checkout" in collected
    assert "tests/test_images.py" not in collected
    printed = subprocess.run([sys.executable, "-m", "tests.reference"], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert printed.stdout == f"{reference()}\n"
