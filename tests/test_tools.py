from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quern.errors import DriverError, RepositoryError
from quern.portage.setup import STARTER
from quern.portage.tools import Tool, declared_tools, found_tools, tools_identity
from tests.projects import write

GCC, PERL = Tool("gcc", "gcc", "everything"), Tool("perl", "perl", "openssl")


def programs(folder: Path, *names: str) -> str:
    """Make executable files, and give the search path that has them."""
    for name in names:
        write(folder, {name: "#!/bin/sh\n"})
        (folder / name).chmod(0o755)
    return str(folder)


def test_declared_by_several_repositories(tmp_path: Path) -> None:
    write(tmp_path / "one/metadata", {"quern-tools": "# a comment\n\ngcc\tgcc\teverything\nperl\tperl\topenssl\n"})
    write(tmp_path / "two/metadata", {"quern-tools": "perl\tperl-base\tgit\nwget\twget\tPortage\n"})
    found = declared_tools([tmp_path / "one", tmp_path / "none", tmp_path / "two"])
    assert found == [GCC, PERL, Tool("wget", "wget", "Portage")]
    assert declared_tools([tmp_path / "none"]) == []


@pytest.mark.parametrize("line", ["gcc", "gcc gcc everything", "gcc\tgcc", "gcc\tgcc\ta\tb", "/bin/gcc\tgcc\tall"])
def test_a_line_that_is_no_declaration(tmp_path: Path, line: str) -> None:
    write(tmp_path / "metadata", {"quern-tools": f"{line}\n"})
    with pytest.raises(RepositoryError) as error:
        declared_tools([tmp_path])
    assert str(error.value) == (
        f"{tmp_path}/metadata/quern-tools: expected TOOL<TAB>PACKAGE<TAB>NEEDED BY, got {line!r}"
    )


def test_found_in_the_order_of_the_search_path(tmp_path: Path) -> None:
    first, second = programs(tmp_path / "first", "gcc"), programs(tmp_path / "second", "gcc", "perl")
    (tmp_path / "first/perl").write_text("not executable")
    found = found_tools([GCC, PERL], f"{first}:{second}")
    assert found == {"gcc": tmp_path / "first/gcc", "perl": tmp_path / "second/perl"}


def test_all_that_are_missing_in_one_message(tmp_path: Path) -> None:
    path = programs(tmp_path, "wget")
    with pytest.raises(DriverError) as error:
        found_tools([GCC, Tool("wget", "wget", "Portage"), Tool("scanelf", "pax-utils", "Portage"), PERL], path)
    assert str(error.value) == (
        "tools that the build needs are missing:\n"
        "  gcc      Debian package gcc, needed by everything\n"
        "  scanelf  Debian package pax-utils, needed by Portage\n"
        "  perl     Debian package perl, needed by openssl\n"
        "On Debian: apt-get install gcc pax-utils perl"
    )


def test_identity_is_of_what_is_behind_a_link(tmp_path: Path) -> None:
    programs(tmp_path, "gcc-12", "gcc-13")
    (tmp_path / "gcc").symlink_to("gcc-12")
    os.utime(tmp_path / "gcc-12", (1, 1))
    os.utime(tmp_path / "gcc-13", (1, 1))
    found = found_tools([GCC], str(tmp_path))
    before = tools_identity(found)
    assert any(row.startswith(f"{tmp_path}/gcc-12 ") for row in before)
    assert tools_identity(found) == before
    os.utime(tmp_path / "gcc-12", (2, 2))
    touched = tools_identity(found)
    (tmp_path / "gcc").unlink()
    (tmp_path / "gcc").symlink_to("gcc-13")
    assert len({tuple(before), tuple(touched), tuple(tools_identity(found))}) == 3


def test_identity_has_the_compiler_proper() -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is missing (Debian package gcc)")
    assert any("/cc1 " in row for row in tools_identity({"gcc": Path(gcc)}))


def test_identity_has_the_compiler_wherever_the_distribution_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12 has cc1 beside the libraries; Debian 13 in libexec."""
    folders = [tmp_path / "lib/gcc", tmp_path / "libexec/gcc", tmp_path / "absent"]
    write(folders[0] / "x86_64-linux-gnu/14", {"libgcc.a": "", "crtbegin.o": "", "plugin": ""})
    write(folders[1] / "x86_64-linux-gnu/14", {"cc1": "", "collect2": ""})
    monkeypatch.setattr("quern.portage.tools.COMPILER", [str(folder) for folder in folders])
    names = [Path(row.split()[0]).name for row in tools_identity({})]
    assert names == ["crtbegin.o", "libgcc.a", "cc1", "collect2"]


def test_a_declaration_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/quern-tools").write_bytes(b"# caf\xe9\nperl\tperl\topenssl\n")
    assert declared_tools([tmp_path]) == [PERL]


def test_the_starter_says_what_needs_each_tool() -> None:
    for tool in declared_tools([STARTER]):
        assert all(tool), tool
