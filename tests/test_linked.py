"""The libraries of the machine's programs, as its loader finds them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.portage import linked
from quern.portage.linked import Linked
from tests.conftest import tool
from tests.projects import write

NOTHING = Path("/nonexistent")


@pytest.mark.parametrize("name", ["bash", "tar", "ld", "perl", "file"])
def test_as_ldd_says(name: str) -> None:
    """ldd(1) has the loader itself say it."""
    program = os.path.realpath(shutil.which(name) or pytest.skip(f"no {name}"))
    said = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    expected = {os.path.realpath(path) for path in re.findall(r"(/\S+) \(0x", said)}
    assert expected
    assert Linked(NOTHING).of([program]) == expected


def test_a_search_path_of_its_own(tmp_path: Path) -> None:
    """A library in a folder that the program names by $ORIGIN, and one that this one needs."""
    gcc = str(tool("gcc", "gcc"))
    (tmp_path / "lib").mkdir()
    own = "-Wl,-rpath,$ORIGIN"
    for name, text in {"b": "int b(void) { return 1; }", "a": "int b(void); int a(void) { return b(); }"}.items():
        (tmp_path / f"{name}.c").write_text(text)
        needs = ["-Llib", "-lb"] if name == "a" else []
        command = [gcc, "-shared", "-fPIC", "-o", f"lib/lib{name}.so", f"{name}.c", own, *needs]
        subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "main.c").write_text("int a(void); int main(void) { return a(); }")
    subprocess.run([gcc, "-o", "main", "main.c", "-Llib", "-la", f"{own}/lib"], cwd=tmp_path, check=True)
    found = Linked(NOTHING).of([str(tmp_path / "main")])
    assert {path for path in found if "/lib/lib" in path and path.startswith(str(tmp_path))} == {
        f"{tmp_path}/lib/liba.so",
        f"{tmp_path}/lib/libb.so",
    }


def test_scripts_and_what_is_not_there_have_none(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert Linked(NOTHING).of([str(tmp_path / "script"), str(tmp_path / "absent")]) == set()


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was found for a program that needs one library, by the loader's cache; looking it up now gives another."""
    for name in ("program", "libs/libx.so.1.0", "more/liby.so"):
        write(tmp_path, {name: name})
    (tmp_path / "libs/libx.so.1").symlink_to("libx.so.1.0")
    cached(tmp_path, "libs/libx.so.1")
    monkeypatch.setattr(linked, "CACHE", str(tmp_path / "cache"))
    found = {str(tmp_path / "libs/libx.so.1"): str(tmp_path / "libs/libx.so.1.0")}
    monkeypatch.setattr(linked, "_libraries", lambda program: found)
    first = Linked(tmp_path / "known")
    assert first.of([str(tmp_path / "program")]) == set(found.values())
    first.write(tmp_path / "known")
    monkeypatch.setattr(linked, "_libraries", lambda program: {"/another": "/another"})
    return tmp_path / "known"


def cached(folder: Path, *names: str) -> None:
    """Write a cache of the loader's that names libraries."""
    (folder / "cache").write_bytes(b"glibc-ld.so.cache\0" + b"".join(f"{folder / name}\0".encode() for name in names))


def lead_elsewhere(folder: Path) -> None:
    (folder / "libs/libx.so.1").unlink()
    (folder / "libs/libx.so.1").symlink_to("../more/liby.so")


UNCHANGED: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "another library is installed": lambda folder: cached(folder, "more/liby.so", "libs/libx.so.1"),
    "the library itself": lambda folder: write(folder, {"libs/libx.so.1.0": "a newer one"}),
}
CHANGED: dict[str, Callable[[Path], object]] = {
    "the program": lambda folder: write(folder, {"program": "another one"}),
    "a library of the name, before": lambda folder: cached(folder, "more/libx.so.1", "libs/libx.so.1"),
    "the library is gone": lambda folder: (folder / "libs/libx.so.1.0").unlink(),
    "the link leads elsewhere": lead_elsewhere,
    "what was known is damaged": lambda folder: (folder / "known").write_text('{"cache": 1, "found": 3}'),
    "what was known is empty": lambda folder: (folder / "known").write_text(""),
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_what_is_known_is_used(known: Path, what: str) -> None:
    UNCHANGED[what](known.parent)
    assert Linked(known).of([str(known.parent / "program")]) == {str(known.parent / "libs/libx.so.1.0")}


@pytest.mark.parametrize("what", CHANGED)
def test_what_is_looked_up_anew(known: Path, what: str) -> None:
    CHANGED[what](known.parent)
    assert Linked(known).of([str(known.parent / "program")]) == {"/another"}
