"""`doit why:NAME`: which package, which line, which rule; from what is on disk."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from quern.portage.lockfile import Locked
from quern.portage.requirers import Chain, Request, Requirers, asked, requests
from quern.portage.use_conditions import flags, run_time
from quern.worker.whose import whose
from tests.building import CHECKOUT, Project, snapshot
from tests.conftest import Stock
from tests.projects import write
from tests.test_emerging import TREE, ebuild
from tests.test_measured import fill

A, B = Request("packages:1", "x/a"), Request("packages:2", "x/b")
NEEDS = {"x/a-1": ["x/lib-1"], "x/b-1": ["x/mid-1"], "x/mid-1": ["x/lib-1", "x/own-1"], "x/own-1": [], "x/lib-1": []}
FOUND = Requirers(NEEDS, {"x/a-1": [A], "x/b-1": [B]})


def test_chains_from_each_line_the_shortest_first() -> None:
    assert FOUND.chains("x/lib-1") == [
        Chain(A, ["x/a-1", "x/lib-1"]),
        Chain(B, ["x/b-1", "x/mid-1", "x/lib-1"]),
    ]
    assert FOUND.chains("x/b-1") == [Chain(B, ["x/b-1"])]


def test_chains_where_dependencies_go_round() -> None:
    found = Requirers({"x/a-1": ["x/b-1"], "x/b-1": ["x/a-1"]}, {"x/a-1": [A]})
    assert found.chains("x/b-1") == [Chain(A, ["x/a-1", "x/b-1"])]
    assert found.leaving(["packages:1"]) == ["x/a-1", "x/b-1"]


def test_what_leaves_is_what_no_other_line_keeps() -> None:
    assert FOUND.leaving(["packages:1"]) == ["x/a-1"]
    assert FOUND.leaving(["packages:2"]) == ["x/b-1", "x/mid-1", "x/own-1"]
    assert FOUND.leaving(["packages:1", "packages:2"]) == sorted(NEEDS)


def test_lines_that_were_taken_back_ask_for_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"parent/packages": "x/a\nx/b\n*x/c\n", "own/packages": "# none\n-x/b\n\nx/a\n"})
    found = requests([tmp_path / "parent", tmp_path / "own"], {"x/a", "x/c"})
    assert found == [
        Request(f"{tmp_path}/parent/packages:1", "x/a", tmp_path / "parent"),
        Request(f"{tmp_path}/own/packages:4", "x/a", tmp_path / "own"),
        Request(f"{tmp_path}/parent/packages:3", "x/c", tmp_path / "parent"),
    ]


def test_a_line_with_a_slot_asks_for_that_slot() -> None:
    def package(cpv: str, slot: str) -> Locked:
        return Locked(cpv, slot, "tree", use=(), ebuild="", eclasses={}, files="", distfiles={})

    old, new = package("x/a-1", "1/5"), package("x/a-2", "2")
    slotted = Request("packages:1", ">=x/a-1:1/5=[ssl]")
    assert asked([slotted], [old, new]) == {"x/a-1": [slotted]}
    assert asked([A], [old, new]) == {"x/a-1": [A], "x/a-2": [A]}


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ("x/lib ssl? ( x/lib )", []),
        ("ssl? ( >=x/lib-1:=[gui?] )", ["ssl"]),
        ("ssl? ( x/other !gui? ( || ( x/lib x/other ) ) )", ["ssl", "-gui"]),
        ("gui? ( x/lib ) ssl? ( x/lib )", ["ssl"]),
        ("!x/lib ssl? ( x/lib )", ["ssl"]),
        ("gui? ( x/lib )", []),
    ],
)
def test_conditions_of_a_dependency(dependencies: str, expected: list[str]) -> None:
    assert flags(dependencies, "x/lib", {"ssl"}) == expected


def test_run_time_dependencies_of_the_first_file_there_is(tmp_path: Path) -> None:
    write(tmp_path, {"a-1": "DEPEND=x/c\nIDEPEND=x/d\nRDEPEND=x/a >=x/b-1\n"})
    assert run_time([tmp_path / "absent", tmp_path / "a-1"]) == "x/d x/a >=x/b-1"
    assert run_time([tmp_path / "absent"]) == ""


def test_paths_of_a_root(tmp_path: Path) -> None:
    root, stripped = tmp_path / "root", tmp_path / "stripped"
    fill(root)
    write(stripped, {"usr/bin/tool": ""})
    before = snapshot(tmp_path)

    def ask(path: str, *rules: str) -> dict[str, object]:
        answer = whose(str(root), str(stripped), path, list(rules))
        return {name: value for name, value in answer.items() if value}

    tool = {"path": "/usr/bin/tool", "kind": "file", "in_image": True, "package": "app-misc/tool-1"}
    assert ask("/usr/bin/tool") == tool
    through_a_link = ask("/lib/with space", "/lib/with*", "/usr/lib", "/usr/bin")
    assert through_a_link["path"] == "/usr/lib/with space"
    assert through_a_link["package"] == "dev-libs/lib-2.1-r1"
    assert through_a_link["rules"] == ["/lib/with*", "/usr/lib"]
    assert ask("/usr/bin/link")["target"] == ["/usr/bin/tool", "app-misc/tool-1"]
    assert ask("/usr/bin")["packages"] == ["app-misc/tool-1"]
    assert ask("/usr/bin/tol") == {"path": "/usr/bin/tol", "near": "/usr/bin/tool"}
    assert ask("/bin/tool") == {"path": "/bin/tool", "near": "/usr/bin/tool"}
    assert ask("/usr/share/gone") == {"path": "/usr/share/gone", "package": "app-misc/docs-3"}
    assert snapshot(tmp_path) == before


LAB = {
    "lab/top/top-1.ebuild": ebuild('IUSE="leaf"\nDEPEND="lab/headers"\nRDEPEND="lab/base leaf? ( lab/leaf:= )"'),
    "profiles/image/package.use": "# a comment\nlab/top leaf\n",
}
PROFILE = {
    "repo_name": "images\n",
    "one/parent": "lab:image\n",
    "one/packages": "lab/base\n",
    "one/quern.conf": "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
    "[strip]\npaths = /var/db/pkg, /usr/share/l*/leaf\ndoc = on\n",
}


@pytest.mark.emerge
def test_a_real_image(tmp_path: Path, stock: Stock) -> None:
    """Before a build and after it; with a parent profile, a USE flag, and what both kinds of rules took out."""
    stock(tmp_path / "build/binpkgs")
    write(tmp_path, {"dodo.py": (CHECKOUT / "dodo.py").read_text()})
    write(tmp_path / "profiles", PROFILE)
    write(tmp_path / "tree", TREE | LAB)
    project = Project(tmp_path, {"PATH": os.environ["PATH"]})
    for words in (["--package=lab/top"], ["--path=/usr"]):
        assert "there is no finished build to look at; `doit image:one` makes one" in project.doit(
            "why:one", *words, status=1
        )
    project.doit("strip:one")
    nothing = {"PATH": str(tmp_path), "DOCKER_HOST": "unix:///nowhere/docker.sock"}  # no Portage, no daemon
    before = snapshot(tmp_path / "build")

    def ask(*words: str, status: int = 0) -> list[str]:
        said = project.doit("why:one", *words, status=status, variables=nothing).split(".  why:one\n")[1]
        return [line.removeprefix("   one: ") for line in said.splitlines() if line]

    assert ask("--path=/usr/share/lab/leaf") == [
        "/usr/share/lab/leaf: file of lab/leaf-1",
        "  not in the image: taken out by",
        "    strip.paths (profiles/one/quern.conf:6): /usr/share/l*/leaf",
        "lab/leaf-1: in the image for",
        "  tree/profiles/image/packages:1: lab/top (inherited by profiles/one/parent:1)",
        "    lab/top-1 needs lab/leaf-1",
        "    lab/top-1 needs lab/leaf-1 because USE flag leaf is on (tree/profiles/image/package.use:2)",
        "without tree/profiles/image/packages:1: lab/leaf-1, lab/top-1 would leave",
    ]
    assert ask("--package=base") == [
        "lab/base-1: in the image for",
        "  profiles/one/packages:1: lab/base",
        "  tree/profiles/image/packages:1: lab/top (inherited by profiles/one/parent:1)",
        "    lab/top-1 needs lab/base-1",
        "without profiles/one/packages:1: nothing would leave",
        "without tree/profiles/image/packages:1: lab/leaf-1, lab/top-1 would leave",
        "without all 2 lines: lab/base-1, lab/leaf-1, lab/top-1 would leave",
    ]
    assert ask("--package=lab/headers") == ["lab/headers-1: not in the image: it is there only to build lab/top-1"]
    assert "    strip.doc (profiles/one/quern.conf:7): /usr/share/man" in ask("--path=/usr/share/man/man1/top.1")
    refused = {
        "--path=/lab/top": "--path=/lab/top: one has no such path; did you mean /usr/share/lab/top?",
        "--package=lab/lef": "--package=lab/lef: one has no such package; did you mean lab/leaf?",
        "--path=usr": "--path=usr: expected an absolute path in the image, without . or ..",
        "--json": "one of the two: doit why:one --path=/usr/bin/PROGRAM, doit why:one --package=CATEGORY/PACKAGE",
    }
    for word, message in refused.items():
        assert ask(word, status=1)[-1] == message
    answer = json.loads(project.doit("-r", "zero", "why:one", "--path=/usr/share/lab/top", "--json"))
    assert answer["current"] is True
    assert answer["path"]["in_image"] is True
    (reason,) = answer["packages"][0]["reasons"]
    assert reason["inherited"] == ["profiles/one/parent:1"]
    assert reason["leaving"] == ["lab/leaf-1", "lab/top-1"]
    assert snapshot(tmp_path / "build") == before
    project.edit("profiles/one/packages", "lab/base", "lab/other")
    assert ask("--package=lab/base")[-1].startswith("This is the last build; the profile has changed since")
