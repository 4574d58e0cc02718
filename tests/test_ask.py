"""`[emerge] ask = on`: emerge asks at a terminal that is not the user's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.building import Project
from tests.conftest import tool
from tests.containers import TREE
from tests.projects import write
from tests.terminals import typing
from tests.test_raw import STUFF

pytestmark = pytest.mark.emerge

EBUILD = 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${{WORKDIR}}"\n{head}\nsrc_install() {{ {commands}; }}\n'
QUESTION = "merge these packages? [Yes/No] "


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose emerge asks."""
    tool("scanelf", "pax-utils")
    return Project(write(tmp_path, TREE), {"QUERN_EMERGE_ASK": "on"})


def ebuild(project: Project, commands: str, head: str = "") -> None:
    write(project.folder, {"tree/app-misc/one/one-1.ebuild": EBUILD.format(head=head, commands=commands)})


def test_an_ebuild_that_types_for_the_user(project: Project) -> None:
    """It reaches the terminal that emerge has, by /dev/tty or as its input, which is another than the user's."""
    typed = write(project.folder / "tree", {"app-misc/one/files/stuff.py": STUFF}) / "app-misc/one/files/stuff.py"
    ebuild(project, f"{sys.executable} {typed} < /dev/tty > /dev/tty 2>&1 || die", 'PROPERTIES="interactive"')
    with typing(project, "packages:one") as terminal:
        mine = os.open(terminal.name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        terminal.expect(QUESTION)
        terminal.send("Yes\n")
        terminal.expect("terminals ")
        terminal.expect("packages:one is finished")
        with pytest.raises(BlockingIOError):
            os.read(mine, 100)
        users = os.fstat(mine).st_rdev
        os.close(mine)
        assert terminal.status() == 0
    (line,) = [line for line in terminal.shown.splitlines() if line.startswith("terminals ")]
    own, *places = map(int, line.split()[1:5])
    assert own != 0
    assert users not in (own, *places)
    assert line in (project.folder / "build/one/logs/packages.log").read_text()


def test_no_is_an_interruption(project: Project) -> None:
    ebuild(project, "true")
    with typing(project, "packages:one") as terminal:
        terminal.expect(QUESTION)
        terminal.send("No\n")
        assert terminal.status() == 130
    assert "packages:one interrupted; run it again to go on" in terminal.shown


def test_a_failure_is_explained(project: Project) -> None:
    """What was asked at a terminal is read all the same."""
    ebuild(project, r"printf '\033]52;c;YQ==\007done\n' > /dev/tty; die 'on purpose'")
    with typing(project, "packages:one") as terminal:
        terminal.expect(QUESTION)
        terminal.send("Yes\n")
        assert terminal.status() == 1
    assert "app-misc/one-1 failed in its install phase" in terminal.shown
    assert "done" in terminal.shown
    assert "\x1b]52" not in terminal.shown


def test_a_root_asks_nothing(project: Project) -> None:
    """It is filled without emerge, and without a terminal."""
    ebuild(project, "echo one > one; insinto /usr/share; doins one")
    project.doit("packages:one", variables={"QUERN_EMERGE_ASK": "off"})
    project.doit("root:one")
    assert (project.folder / "build/one/root/image/usr/share/one").is_file()
