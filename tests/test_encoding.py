"""Locales whose encoding is not UTF-8, paths that no build can take, and characters that a terminal lacks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quern.encoding import take_all
from quern.errors import RepositoryError, spelled
from quern.portage.repository import read_repository
from tests.building import CHECKOUT, Project
from tests.projects import write
from tests.test_tasks import TREE

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # what other locales do to names, C does as well
NOT_UTF8 = os.fsdecode(b"m\xfchle")


def project_in(folder: Path, conf: str = "") -> Project:
    """A project of one image."""
    files = {
        "dodo.py": (CHECKOUT / "dodo.py").read_text(),
        "profiles/repo_name": "images\n",
        "profiles/one/quern.conf": f"[portage]\nrepositories = ./tree\n{conf}",
        "profiles/one/packages": "app-misc/one\n",
        "profiles/one/parent": "tree:base\n",
    }
    return Project(write(folder, {**files, **TREE}))


def test_the_same_in_any_locale(tmp_path: Path) -> None:
    """A folder that no other locale spells like UTF-8: found from elsewhere too, and what it gives is the same."""
    project = project_in(tmp_path / "Mühle")
    digest = project.folder / "build/one/portage.digest"
    found = []
    for variables in ({}, ASCII):
        said = project.doit("portage:one", variables=variables)
        found.append((digest.read_text(), digest.with_name("portage.json").read_text()))
        project.doit("clean", "portage:one")
    assert found[0] == found[1]
    assert "/M\\xfchle/build/one/portage/etc/portage" in said
    project.folder = tmp_path
    assert "portage:one" in project.doit("-f", "Mühle/dodo.py", "list", "--all", "-q", variables=ASCII)


def test_a_name_in_the_configuration(tmp_path: Path) -> None:
    """Of what the locale lacks, too, and of the environment."""
    project = project_in(tmp_path / "project", "[build]\nlock = /nowhere/日本.txt\n")
    wrong = "build.lock: expected the path of a file whose name ends in .lock, got '/nowhere/\\u65e5\\u672c.txt'"
    assert wrong in project.doit("list", status=3, variables=ASCII)
    (project.folder / "profiles/one/quern.conf").write_text("[portage]\nrepositories = ./tree\n")
    labels = {"QUERN_DOCKERGEN_LABELS": "name=日本 wrong"}
    assert "expected words of the form KEY=VALUE, quoted as in a shell, got 'wrong'" in project.doit(
        "list", status=3, variables={**ASCII, **labels}
    )


def test_the_command_without_a_project(tmp_path: Path) -> None:
    write(tmp_path, {"quern-builder": "import sys\nfrom quern.cli import main\nsys.exit(main())\n"})
    ran = subprocess.run(
        [sys.executable, "quern-builder", "init", "Mühle"],
        cwd=tmp_path, env={**os.environ, **ASCII, "PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("M\\xfchle/dodo.py is written\n")
    assert (tmp_path / "Mühle/dodo.py").is_file()


def test_a_program_of_someone_else_is_not_started_again() -> None:
    code = "from quern.encoding import use_utf8\nuse_utf8()"
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **ASCII, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stderr.endswith("in which names of files may be other bytes than in UTF-8; set PYTHONUTF8=1\n")


@pytest.mark.parametrize(("name", "odd"), [(NOT_UTF8, "\\xfc"), ("50%", "%"), ("a b", " ")])
def test_a_project_where_nothing_can_be_built(tmp_path: Path, name: str, odd: str) -> None:
    """It is said before anything is written, in any locale, and what asks only is answered."""
    project = project_in(tmp_path / name)
    for variables in ({}, ASCII):
        said = project.doit("image:one", status=1, variables=variables)
        assert f"/{spelled(name)}/build/one: '{odd}' in its path would end a build in its middle; set [build]" in said
        assert "Traceback" not in said
        assert "one" in project.doit("list", variables=variables)
        assert not (project.folder / "build").exists()


@pytest.mark.parametrize("name", [NOT_UTF8, "50%"])
def test_a_repository_that_portage_does_not_find(tmp_path: Path, name: str) -> None:
    """Its repos.conf can say neither."""
    write(tmp_path / name, TREE)
    with pytest.raises(RepositoryError, match=r"Portage finds no repository in a folder with '.+' in its path"):
        read_repository(tmp_path / name / "tree")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "日本 ü m".encode() + b"\xfchle"),
        ("latin-1", b"\\u65e5\\u672c \xfc m\\udcfchle"),
        ("ascii", b"\\u65e5\\u672c \\xfc m\\udcfchle"),
    ],
)
def test_what_is_shown(encoding: str, shown: bytes) -> None:
    data = io.BytesIO()
    with io.TextIOWrapper(data, encoding=encoding) as stream:
        take_all(stream)
        stream.write(f"日本 ü {NOT_UTF8}")
        stream.flush()
        assert data.getvalue() == shown
