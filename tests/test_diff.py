"""`doit diff:NAME`: how an image is not as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from quern.inventory import File, Inventory
from quern.questions.compared import difference
from quern.questions.diff_text import lines
from tests.building import CHECKOUT, Project
from tests.conftest import Stock
from tests.projects import write
from tests.test_emerging import TREE, ebuild

LOCK = """\
lib/zlib-{}:0::tree
  USE minizip
  EBUILD SHA256 {}
"""
CONF = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n[strip]\npaths = /var/db/pkg\n"
CONF += "[build]\nsource_date_epoch = 1463400000\n"


def image(name: str, files: Mapping[str, str], lock: str | None = None, **settings: Any) -> Inventory:  # noqa: ANN401
    """An image of files that have these texts; what stands in lib/ is of zlib."""
    rows = [
        File(path, "file", "644", "0:0", len(text), text, "lib/zlib-1" if path.startswith("lib/") else "")
        for path, text in files.items()
    ]
    return Inventory(f"one:{name}", [f"sha256:{name}"], {"config": settings} if settings else None, lock, rows)


def test_files_by_package() -> None:
    before = image("1", {"lib/a": "1", "lib/b": "12", "lib/d": "x", "etc/x": "y" * 2000})
    after = image("2", {"lib/a": "1", "lib/b": "1", "lib/c": "12345", "etc/x": "z" * 2000})
    found = difference(before, after)
    assert {name: tuple(files) for name, files in found.files.items()} == {
        "lib/zlib": (["/lib/c"], ["/lib/d"], ["/lib/b"], 3),
        "no package's": ([], [], ["/etc/x"], 0),
    }
    assert list(lines(before, after, found)) == [
        "one:1 (1) -> one:2 (2)",
        "packages: not known of the other",
        "files: 2.0 kB -> 2.0 kB (+3 B)",
        "       +3 B  lib/zlib: 1 added, 1 removed, 1 changed",
        "       +0 B  no package's: 1 changed (/etc/x)",
        "configuration: not known of the other",
    ]


def test_modes_owners_and_kinds_count_and_whose_a_file_is_does_not() -> None:
    before = image("1", {"lib/a": "1", "lib/b": "2", "lib/c": "3", "lib/d": "4"})
    a, b, c, d = before.files
    files = [a._replace(mode="4755"), b._replace(owner="0:1"), c._replace(kind="link"), d._replace(package="")]
    found = difference(before, before._replace(ids=["sha256:2"], files=files))
    assert found.files["lib/zlib"].changed == ["/lib/a", "/lib/b", "/lib/c"]
    assert list(found.files) == ["lib/zlib"]


def test_packages_and_configuration() -> None:
    old = {"Entrypoint": ["/bin/sh", "-c"], "Env": ["A=1", "B=2"], "Labels": {"x": "1"}, "User": ""}
    new = {"Env": ["A=1", "B=3=4"], "ExposedPorts": {"80/tcp": {}}, "Labels": {"x": "a\nb"}}
    before = image("1", {}, LOCK.format("1.2", "0" * 64), **old)
    after = image("2", {}, LOCK.format("1.3", "1" * 64), **new)
    assert list(lines(before, after, difference(before, after)))[1:] == [
        "packages",
        "  lib/zlib 1.2 -> 1.3",
        "configuration",
        "  entrypoint /bin/sh -c -> unset",
        "  env B 2 -> 3=4",
        "  exposedport 80/tcp unset -> set",
        r"  label x 1 -> a\nb",
    ]


def test_the_same() -> None:
    before = image("1", {"lib/a": "1"}, "", User="x")
    assert list(lines(before, before, difference(before, before))) == ["identical"]
    without = before._replace(ids=[], settings=None, lock=None)
    assert difference(without, before).is_same
    other = before._replace(ids=["sha256:2"])
    assert list(lines(before, other, difference(before, other)))[1:] == [
        "the same packages, files and configuration; what differs is times, or how it is packed"
    ]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Project:
    """An image that was built, and its archive and its lock put aside."""
    folder = tmp_path_factory.mktemp("diff")
    write(folder, {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"})
    write(folder / "profiles/one", {"quern.conf": CONF, "parent": "lab:image\n"})
    write(folder / "tree", {**TREE, "lab/leaf/leaf-1.ebuild": ebuild('IUSE="small"', slot="0/1")})
    project = Project(folder)
    stock(folder / "build/binpkgs")
    failed = project.doit("diff:one", status=1)
    assert "one: there is no other build before this one; --lock PATH and --archive PATH compare with" in failed
    for source, target in (("images/one.oci.tar", "old.tar"), ("build/one/packages/packages.lock", "old.lock")):
        shutil.copyfile(folder / source, folder / target)
    return project


def said(output: str) -> list[str]:
    return [line.removeprefix("   one: ") for line in output.split(".  diff:one\n")[1].splitlines()]


@pytest.mark.emerge
def test_with_itself(built: Project) -> None:
    for option in (["--archive", "images/one.oci.tar"], ["-a", str(built.tarball("one"))], ["--lock=old.lock"]):
        assert said(built.doit("diff:one", *option)) == ["identical"]
    assert json.loads(built.doit("-r", "zero", "diff:one", "--json", "--lock", "old.lock"))["identical"] is True
    for options, error in (
        (["--lock", "a", "--archive", "b"], "expected one of --lock and --archive, got both"),
        (["--lock", "absent"], "absent: No such file or directory"),
        (["--lock", "dodo.py"], "dodo.py:1: expected a line of a lock"),
        (["--archive", "dodo.py"], "dodo.py: expected an image's archive or a root's tarball"),
    ):
        output = built.doit("diff:one", *options, status=1)
        assert error in output
        assert "Traceback" not in output


@pytest.mark.emerge
def test_a_change_and_back(built: Project) -> None:
    """Of USE, of a package's files, of the configuration: against the build before, its archive and its lock."""
    profile = built.folder / "profiles/one"
    write(built.folder / "tree", {"lab/base/base-1.ebuild": ebuild(body='echo more >> "${ED}/usr/share/lab/base"')})
    write(profile, {"package.use": "lab/leaf small\n", "packages": "lab/other\n"})
    write(profile, {"quern.conf": f"{CONF}[dockergen]\nuser = nobody\n"})
    moves = ["lab/base ebuild changed", "lab/leaf USE +small", "+ lab/other-1"]
    files = [
        "      +16 B  lab/other: 2 added",
        "       +5 B  lab/base: 1 changed (/usr/share/lab/base)",
    ]
    head, *rest = said(built.doit("diff:one"))
    assert head.startswith("one:latest (")
    assert rest == [
        "packages", *(f"  {line}" for line in moves), "files: 40 B -> 61 B (+21 B)", *files,
        "configuration", "  user unset -> nobody",
    ]  # fmt: skip
    assert said(built.doit("diff:one", "--archive", "old.tar"))[1:] == [
        "packages: not known of the other", "files: 40 B -> 61 B (+21 B)", *files,
        "configuration", "  user unset -> nobody",
    ]  # fmt: skip
    assert said(built.doit("diff:one", "--lock", "old.lock")) == moves
    answer = json.loads(built.doit("-r", "zero", "diff:one", "--json"))
    assert (answer["identical"], answer["packages"], answer["bytes"]) == (False, moves, [40, 61])
    assert answer["settings"] == {"user": [None, "nobody"]}
    assert answer["files"][1] == {
        "package": "lab/base", "bytes": 5, "added": [], "removed": [], "changed": ["/usr/share/lab/base"],
    }  # fmt: skip

    # a build that gives the same image is no other build
    write(profile, {"quern.conf": f"{CONF}outdir = elsewhere\n[dockergen]\nuser = nobody\n"})
    assert said(built.doit("diff:one"))[1:] == rest
    assert (built.folder / "elsewhere/one.oci.tar").exists()

    (profile / "package.use").unlink()  # which gives the same bytes again
    assert said(built.doit("diff:one"))[1:] == [line for line in rest if line != "  lab/leaf USE +small"]
