"""What a failed build did not find, read from its log, and the package that has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.steps.undeclared import HINT, hints, missing
from tests.left import within
from tests.packages import gpkg, member
from tests.test_plan import entry, plan


@pytest.mark.parametrize(
    ("line", "name", "path"),
    [
        ("x.c:1:10: fatal error: sub/zlib.h: No such file or directory", "sub/zlib.h", "/usr/include/sub/zlib.h"),
        ("/usr/bin/ld: cannot find -lz: No such file or directory", "z", "/usr/lib/libz.so.1.3"),
        ("/usr/bin/ld: cannot find -lz", "z", "/usr/lib/libz.a"),
        ("Package 'zlib', required by 'virtual:world', not found", "zlib", "/usr/share/pkgconfig/zlib.pc"),
        ("No package 'zlib' found", "zlib", "/usr/lib/pkgconfig/zlib.pc"),
        ("./x.sh: line 3: gen: command not found", "gen", "/usr/bin/gen"),
        ("sh: 1: gen: not found", "gen", "/usr/bin/gen"),
        ("env: \u2018gen\u2019: No such file or directory", "gen", "/usr/bin/gen"),
        ("env: 'gen': Permission denied", "gen", "/usr/bin/gen"),
        ("bash: ./x: /usr/bin/gen: bad interpreter: Permission denied", "gen", "/usr/bin/gen"),
        ("make[1]: gen: No such file or directory", "gen", "/usr/sbin/gen"),
    ],
)
def test_what_tools_say(line: str, name: str, path: str) -> None:
    (found,) = missing(f"begun\n{line}\nended\n")
    assert found.name == name
    assert found.path.fullmatch(path)
    assert not found.path.fullmatch(f"{path}x")


def test_a_log_without_an_end_of_line() -> None:
    """An ebuild may print anything."""
    with within(10):
        assert missing("a" * (1 << 20)) == missing("fatal error: " + "a" * (1 << 20)) == []


def test_who_has_it(tmp_path: Path) -> None:
    found = plan(entry("lib/zlib-1"), entry("lib/other-1"), entry("app/tool-1"))
    (tmp_path / "zlib").write_bytes(gpkg("lib/zlib-1", [member("image/usr/include/zlib.h", b"x")]))
    (tmp_path / "other").write_bytes(b"damaged")
    files = {"lib/zlib-1": tmp_path / "zlib", "lib/other-1": tmp_path / "other"}
    log = "fatal error: zlib.h: No such file or directory\nfatal error: no.h: No such file or directory\n"
    tool = found["app/tool-1"]
    assert list(hints(log, tool, found.packages[:2], files)) == [
        HINT.format(name="zlib.h", owner="lib/zlib-1", package="app/tool-1")
    ]
