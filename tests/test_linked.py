"""The libraries of the machine's programs, as its loader finds them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from quern.portage import linked
from quern.portage.linked import Linked
from tests.conftest import tool

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


def test_what_is_known_is_used_as_long_as_nothing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, cache, known = tmp_path / "program", tmp_path / "ld.so.cache", tmp_path / "known"
    bash = shutil.which("bash") or pytest.skip("no bash")
    shutil.copyfile(bash, program)
    cache.write_text("1")
    monkeypatch.setattr(linked, "CACHE", str(cache))
    first = Linked(known)
    libraries = first.of([str(program)])
    first.write(known)
    assert libraries
    monkeypatch.setattr(linked, "_libraries", lambda program: {b"/looked/up"})
    assert Linked(known).of([str(program)]) == libraries
    cache.write_text("22")
    assert Linked(known).of([str(program)]) == {"/looked/up"}
    cache.write_text("1")
    first.write(known)
    program.write_text("another one")
    assert Linked(known).of([str(program)]) == {"/looked/up"}
    for damaged in ("", "[]", '{"cache": 1}', '{"cache": [], "found": 3}'):
        known.write_text(damaged)
        assert Linked(known).of([str(program)]) == {"/looked/up"}
