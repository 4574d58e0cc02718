"""What a person and a machine are told by `doit size:NAME`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from quern.questions import SIZE
from quern.questions.measured import measure
from quern.questions.size_text import amount, lines
from tests.building import CHECKOUT, Project, snapshot
from tests.conftest import Stock
from tests.projects import Said, run, write
from tests.test_emerging import TREE
from tests.test_measured import finished

PROFILE = {
    "repo_name": "images\n",
    "one/parent": "lab:image\n",
    "one/quern.conf": "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
    "[strip]\npaths = /var/db/pkg, /usr/share/nothing\n",
}


def test_for_people(tmp_path: Path) -> None:
    measured = measure(finished(tmp_path), run())
    found = list(lines("one", measured._replace(is_current=True, tarball=500)))
    total = measured.total
    assert found[0] == f"{amount(total.size)} in {total.files} files, 500 B as a tarball"
    assert found[1] == "packages"
    assert any(line.endswith("  app-misc/tool-1") and line.startswith("    1.0 kB") for line in found)
    assert any(line.endswith("  no package's") for line in found)
    assert "  nothing is left of app-misc/docs-3" in found
    folders = found[found.index("folders") + 1 : found.index("biggest files")]
    assert [line.split("%")[1].rstrip() for line in folders][:2] == ["  /usr", "    /usr/bin"]
    assert any(line.endswith(r"  /usr/lib/two\nlines  no package's") for line in found)
    assert any(line.endswith(r"  /usr/lib/caf\xe9  app-misc/tool-1") for line in found)
    assert found[-4].startswith("removed by [strip]: ")
    assert found[-4].endswith(" in 5 files")
    assert found[-3].endswith("  /var/db/pkg  4 files")
    assert found[-2:] == ["      50 B  /usr/share/*  1 files", "  strip.paths that match nothing: /nothing/here"]
    assert all(line.isprintable() for line in found)


def test_rules_of_doc_and_dev_that_match_nothing_are_no_mistake(tmp_path: Path) -> None:
    image = finished(tmp_path, "[build]\nprofile = a:b\n[strip]\ndoc = on\npaths = /nothing/here\n")
    found = list(lines("one", measure(image, run())))
    assert "  strip.paths that match nothing: /nothing/here" in found
    assert any(line.startswith("  not there anyway: /usr/share/man, ") for line in found)


def test_whether_it_is_still_so(tmp_path: Path) -> None:
    measured = measure(finished(tmp_path), run())
    assert measured.is_current is False  # nobody has made that root's portage step
    moved = "This is the last build; `doit explain:one` says what has changed since"
    assert list(lines("one", measured))[1] == moved
    assert "cannot be told" in list(lines("one", measured._replace(is_current=None)))[1]


def test_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = finished(tmp_path)
    SIZE.answer(image, run(), html=False, json=True)
    (line,) = capsys.readouterr().out.splitlines()
    answer = json.loads(line)
    assert answer["image"] == "one"
    assert answer["packages"][0] == {"package": "app-misc/tool-1", "bytes": 1008, "files": 4}
    assert answer["content"][0] == {"path": "/usr/bin/again", "bytes": 1000, "package": "app-misc/tool-1"}
    assert {"path": "/usr/lib/two\nlines", "bytes": 7, "package": None} in answer["content"]
    assert {"path": "/usr/lib/caf\\xe9", "bytes": 8, "package": "app-misc/tool-1"} in answer["content"]
    assert {"rule": "/nothing/here", "paths": 0, "bytes": 0, "files": 0} in answer["strip"]["rules"]
    assert len(answer["content"]) == answer["files"]


def test_the_page_is_written_whole_beside_the_image(tmp_path: Path) -> None:
    image = finished(tmp_path)
    said = Said()
    page = tmp_path / "images/one.size.html"
    for _ in range(2):
        SIZE.answer(image, run(said), html=True, json=False)
        assert os.listdir(page.parent) == [page.name]
        assert page.read_text().startswith("<!DOCTYPE html>")
    assert said.lines[1::2] == [f"{page} is written"] * 2


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (39_300_000, "39.3 MB"), (2 * 10**9, "2.0 GB")]
)
def test_amount(size: int, text: str) -> None:
    assert amount(size) == text


@pytest.mark.emerge
def test_a_real_image(tmp_path: Path, stock: Stock) -> None:
    """After a build, and after an edit, and without one; nothing but the page is written."""
    stock(tmp_path / "build/binpkgs")
    write(tmp_path, {"dodo.py": (CHECKOUT / "dodo.py").read_text()})
    write(tmp_path / "profiles", PROFILE)
    write(tmp_path / "tree", TREE)
    project = Project(tmp_path)
    absent = project.doit("size:one", status=1)
    assert "one: there is no finished build to look at; `doit image:one` makes one" in absent
    project.doit("image:one")
    before = snapshot(tmp_path)
    answer = json.loads(project.doit("-r", "zero", "size:one", "--json"))
    assert answer["current"] is True
    assert [row["package"] for row in answer["packages"]] == ["lab/base-1", "lab/leaf-1", "lab/top-1"]
    kinds = ("lab/{}", "man/man1/{}.1")
    paths = {f"/usr/share/{kind.format(name)}" for kind in kinds for name in ("base", "leaf", "top")}
    assert {row["path"] for row in answer["content"]} == paths
    assert answer["tarball"] == project.tarball("one").stat().st_size
    text = project.doit("size:one")
    assert "   one:   strip.paths that match nothing: /usr/share/nothing" in text.splitlines()
    assert "last build" not in text
    project.edit("profiles/one/quern.conf", "/usr/share/nothing", "/usr/share/lab")
    assert "This is the last build" in project.doit("size:one", "--html")
    after = snapshot(tmp_path)
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    page = str(tmp_path / "images/one.size.html")
    assert page in changed
    assert changed <= {page, f"{tmp_path}/.doit.db", f"{tmp_path}/images", f"{tmp_path}/profiles/one/quern.conf"}
    project.doit("clean", "--clean-all")
    assert not (tmp_path / "images").exists() or not os.listdir(tmp_path / "images")
