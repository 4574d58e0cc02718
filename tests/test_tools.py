from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from quern.errors import DriverError, RepositoryError
from quern.portage.linked import Linked
from quern.portage.setup import STARTER
from quern.portage.tools import MachineIdentity, Tool, declared_tools, found_tools, identity, not_usable, usable
from tests.projects import write

NOTHING_KNOWN = Linked(Path("/nonexistent"))
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
    assert found == [GCC, PERL._replace(needed_by="openssl, git"), Tool("wget", "wget", "Portage")]
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


def test_tools_that_some_packages_may_use(tmp_path: Path) -> None:
    """A line that names packages is for these; one that names anything else is for all."""
    for words, packages in {
        "dev-libs/openssl, dev-db/sqlite": {"dev-libs/openssl", "dev-db/sqlite"},
        "dev-libs/libsigc++": {"dev-libs/libsigc++"},
        "sys-apps/busybox, archives": set(),
        "every package": set(),
        "openssl": set(),
        "a/b/c": set(),
    }.items():
        assert Tool("perl", "perl", words).packages == packages
    perl = PERL._replace(needed_by="dev-libs/openssl, dev-db/sqlite")
    assert usable([GCC, perl], ["dev-db/sqlite", "a/b"]) == [GCC, perl]
    assert usable([GCC, perl], ["a/b"]) == [GCC]
    found = found_tools([GCC, perl], programs(tmp_path, "gcc", "perl"))
    of_all = identity([GCC], found, NOTHING_KNOWN)
    rows = [f"{tmp_path}/perl 10 {int((tmp_path / 'perl').stat().st_mtime)}"]
    assert identity([GCC, perl], found, NOTHING_KNOWN) == of_all._replace(
        tools={"dev-libs/openssl": rows, "dev-db/sqlite": rows}
    )
    assert identity([GCC, perl], found, NOTHING_KNOWN).every_row() == [*of_all.rows, *rows]
    assert MachineIdentity([], {"a/b": ["2"], "a/c": ["1", "2"]}).of(["a/c", "a/b", "a/d"]) == ["1", "2"]


def test_a_tool_that_another_repository_needs_too(tmp_path: Path) -> None:
    write(tmp_path / "one/metadata", {"quern-tools": "perl\tperl\tdev-libs/openssl\n"})
    write(tmp_path / "two/metadata", {"quern-tools": "perl\tperl\tapp-misc/mine\n"})
    write(tmp_path / "three/metadata", {"quern-tools": "perl\tperl\tevery package\n"})
    both = declared_tools([tmp_path / "one", tmp_path / "two"])
    assert both[0].packages == {"dev-libs/openssl", "app-misc/mine"}
    assert declared_tools([tmp_path / "one", tmp_path / "three"])[0].packages == set()


def test_identity_is_of_what_is_behind_a_link(tmp_path: Path) -> None:
    programs(tmp_path, "gcc-12", "gcc-13")
    (tmp_path / "gcc").symlink_to("gcc-12")
    os.utime(tmp_path / "gcc-12", (1, 1))
    os.utime(tmp_path / "gcc-13", (1, 1))
    found = found_tools([GCC], str(tmp_path))
    before = identity([GCC], found, NOTHING_KNOWN)
    assert any(row.startswith(f"{tmp_path}/gcc-12 ") for row in before.rows)
    assert identity([GCC], found, NOTHING_KNOWN) == before
    os.utime(tmp_path / "gcc-12", (2, 2))
    touched = identity([GCC], found, NOTHING_KNOWN)
    (tmp_path / "gcc").unlink()
    (tmp_path / "gcc").symlink_to("gcc-13")
    assert len({tuple(each.rows) for each in (before, touched, identity([GCC], found, NOTHING_KNOWN))}) == 3


def test_identity_has_the_compiler_proper() -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is missing (Debian package gcc)")
    assert any("/cc1 " in row for row in identity([GCC], {"gcc": Path(gcc)}, NOTHING_KNOWN).rows)


def test_identity_has_the_compiler_wherever_the_distribution_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian 12 has cc1 beside the libraries; Debian 13 in libexec."""
    folders = [tmp_path / "lib/gcc", tmp_path / "libexec/gcc", tmp_path / "absent"]
    write(folders[0] / "x86_64-linux-gnu/14", {"libgcc.a": "", "crtbegin.o": "", "plugin": ""})
    write(folders[1] / "x86_64-linux-gnu/14", {"cc1": "", "collect2": ""})
    monkeypatch.setattr("quern.portage.tools.COMPILER", [str(folder) for folder in folders])
    names = [Path(row.split()[0]).name for row in identity([], {}, NOTHING_KNOWN).rows]
    assert names == ["crtbegin.o", "libgcc.a", "cc1", "collect2"]


def test_a_declaration_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/quern-tools").write_bytes(b"# caf\xe9\nperl\tperl\topenssl\n")
    assert declared_tools([tmp_path]) == [PERL]


def test_the_starter_says_what_needs_each_tool() -> None:
    for tool in declared_tools([STARTER]):
        assert all(tool), tool


def test_what_quern_runs_on_is_not_hidden(tmp_path: Path) -> None:
    path = programs(tmp_path, "gcc", "perl", "python3")
    (tmp_path / "link").symlink_to("python3")
    python = Tool("python3", "python3", "lab/one")
    tools = [GCC, PERL._replace(needed_by="lab/one"), python]
    assert not_usable(tools, [GCC], path, []) == [tmp_path / "perl", tmp_path / "python3"]
    assert not_usable(tools, [GCC], path, [tmp_path / "link"]) == [tmp_path / "perl"]
    assert not_usable(tools, tools, path, []) == []
