from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quern.init import FILES
from tests.building import CHECKOUT
from tests.projects import write
from tests.test_cli import quern_builder


def doit(folder: Path, *words: str) -> str:
    argv = [sys.executable, "-m", "doit", *words]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(argv, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def test_a_project_is_made(tmp_path: Path) -> None:
    ran = quern_builder("init", "new", folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    made = {str(path.relative_to(tmp_path / "new")) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {*FILES}
    assert ran.stdout.splitlines()[0] == "new/dodo.py is written"
    assert "Next:\n    cd new\n    doit image:hello\n" in ran.stdout
    assert "make and tag the image hello" in doit(tmp_path / "new", "list")
    assert ".  portage:hello\n" in doit(tmp_path / "new", "portage:hello")


def test_here_is_the_default(tmp_path: Path) -> None:
    ran = quern_builder("init", folder=tmp_path)
    assert "Next:\n    doit image:hello\n" in ran.stdout
    assert (tmp_path / "dodo.py").is_file()


def test_what_is_made_is_what_is_shipped() -> None:
    """So that the tests that build the shipped image have built this one."""
    for name in set(FILES) - {".gitignore", "profiles/repo_name"}:
        assert FILES[name] == (CHECKOUT / name).read_text(), name


def test_what_is_built_is_not_kept_in_git() -> None:
    """Of what doit makes: the line of quern's own repository, where the tests below it all would show in git."""
    assert set(FILES[".gitignore"].splitlines()) < set((CHECKOUT / ".gitignore").read_text().splitlines())


@pytest.mark.parametrize("name", ["dodo.py", "profiles"])
def test_nothing_of_the_users_is_changed(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: "mine"})
    ran = quern_builder("init", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"quern-builder: error: {name} is there already; init begins a new project\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_gitignore_is_left_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "mine\n"})
    ran = quern_builder("init", folder=tmp_path)
    assert ran.returncode == 0
    assert ".gitignore is left as it is; have it name /build/, /images/ and .doit.db*" in ran.stdout
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    write(tmp_path, {"file": ""})
    ran = quern_builder("init", "file/below", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "quern-builder: error: file/below: cannot be written: Not a directory\n"


def test_help() -> None:
    assert "usage: quern-builder init [-h] [FOLDER]" in quern_builder("init", "--help").stdout
    assert "quern-builder init [-h] [FOLDER]" in quern_builder("--help").stdout
