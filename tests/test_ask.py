"""`[emerge] ask = on`: one question before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building import Project
from tests.conftest import tool
from tests.containers import TREE
from tests.projects import write
from tests.terminals import typing

pytestmark = pytest.mark.emerge

EBUILD = 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${{WORKDIR}}"\n{head}\nsrc_install() {{ {commands}; }}\n'
QUESTION = "Build these packages? [Yes/No] "


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that asks."""
    tool("scanelf", "pax-utils")
    return Project(write(tmp_path, TREE), {"QUERN_EMERGE_ASK": "on"})


def ebuild(project: Project, commands: str, head: str = "") -> None:
    write(project.folder, {"tree/app-misc/one/one-1.ebuild": EBUILD.format(head=head, commands=commands)})


def test_the_question_comes_once_and_before_anything_is_built(project: Project) -> None:
    """What is going to be built is shown above it; the ebuild itself has no terminal."""
    ebuild(project, "(exec 3< /dev/tty) 2>/dev/null && die 'a terminal'; [[ ! -t 0 ]] || die 'a terminal'")
    with typing(project, "packages:one") as terminal:
        terminal.expect("Building 1 of 1 packages")
        terminal.expect(QUESTION)
        terminal.send("Yes\n")
        terminal.expect("packages:one is finished")
        assert terminal.status() == 0
    assert terminal.shown.count(QUESTION) == 1


def test_no_is_an_interruption(project: Project) -> None:
    ebuild(project, "true")
    with typing(project, "packages:one") as terminal:
        terminal.expect(QUESTION)
        terminal.send("No\n")
        assert terminal.status() == 130
    assert "packages:one interrupted; run it again to go on" in terminal.shown


def test_without_a_terminal_nothing_is_built(project: Project) -> None:
    ebuild(project, "true")
    output = project.doit("packages:one", status=1)
    assert "emerge.ask = on needs a terminal to ask at, and there is none" in output
    assert ">>> Emerging" not in output
