"""What counts as a source file that is there (GLEP 74)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.fetching import sources
from quern.fetching.manifest import expected, problem
from quern.portage.plan import Package
from tests.projects import write

RIGHT = f"5 BLAKE2B {hashlib.blake2b(b'right').hexdigest()} SHA512 {hashlib.sha512(b'right').hexdigest()}"


@pytest.mark.parametrize(
    "line", ["", "5", "five BLAKE2B 00", "-5 BLAKE2B 00", "5 WHIRLPOOL 00", "5 BLAKE2B", "² BLAKE2B 00"]
)
def test_lines_that_describe_no_file(line: str) -> None:
    assert expected(line.split()) is None


def test_the_strongest_digest_comes_first() -> None:
    """Names that Python does not have count for nothing."""
    assert expected(["5", "WHIRLPOOL", "00", "MD5", "AA", "SHA512", "BB", "BLAKE2B", "CC"]) == (
        5,
        {"BLAKE2B": "cc", "SHA512": "bb", "MD5": "aa"},
    )
    found = expected(["5", "MD5", "AA", "SHA512", "BB", "BLAKE2B", "CC"])
    assert found
    assert list(found.digests) == ["BLAKE2B", "SHA512", "MD5"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("right", ""),
        ("wrong", "its BLAKE2B is not that of its Manifest"),
        ("longer", "has 6 bytes; its Manifest says 5"),
        (None, None),
    ],
)
def test_a_file_that_is_there(tmp_path: Path, text: str | None, why: str | None) -> None:
    if text:
        write(tmp_path, {"file": text})
        (tmp_path / "link").symlink_to("file")
    file = expected(RIGHT.split())
    assert file
    assert problem(tmp_path / "file", file) == why
    assert problem(tmp_path / "link", file) == why


def package(folder: Path, cpv: str, manifest: str, *names: str) -> Package:
    """A package with these sources."""
    name = cpv.split("/")[1]
    write(folder / name, {"Manifest": manifest})
    return Package(cpv, "0", "0", "lab", (), (), (), False, str(folder / name / "x.ebuild"), {}, names, (), ())


def test_what_is_missing(tmp_path: Path) -> None:
    """Each file once, though two packages need it; the first package names it."""
    packages = [package(tmp_path, f"lab/{name}", f"DIST x.tar {RIGHT}\n", "x.tar") for name in ("a-1", "b-1")]
    folder = tmp_path / "sources"
    (found,) = sources.missing(packages, folder)
    assert (found.name, found.package.cpv, found.present) == ("x.tar", "lab/a-1", None)
    write(folder, {"x.tar": "wrong"})
    (found,) = sources.missing(packages, folder)
    assert found.present == "its BLAKE2B is not that of its Manifest"
    write(folder, {"x.tar": "right"})
    assert sources.missing(packages, folder) == []


@pytest.mark.parametrize(
    ("line", "name", "message"),
    [
        ("DIST y.tar 5 MD5 00", "x.tar", "x.tar has no digest in the Manifest of lab/a-1\n  /"),
        ("DIST ../x 5 MD5 00", "../x", "lab/a-1: '../x' is no name for a source file"),
        ("DIST .x 5 MD5 00", ".x", "lab/a-1: '.x' is no name for a source file"),
    ],
)
def test_what_is_refused(tmp_path: Path, line: str, name: str, message: str) -> None:
    with pytest.raises(BuildError) as error:
        sources.missing([package(tmp_path, "lab/a-1", f"{line}\n", name)], tmp_path)
    assert str(error.value).startswith(message)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    other = "5 SHA512 " + "0" * 128
    lines = {"lab/a-1": f"DIST x {RIGHT}\n", "lab/b-1": f"DIST x {other}\n"}
    packages = [package(tmp_path, cpv, line, "x") for cpv, line in lines.items()]
    with pytest.raises(BuildError, match=r"^x: the Manifests of lab/a-1 and lab/b-1 describe two files$"):
        sources.missing(packages, tmp_path)
