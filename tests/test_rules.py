"""quern.worker.rules: what a strip rule finds, and what it cannot reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.worker import WorkerError
from quern.worker.rules import matches, parse


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small image beside a folder that no rule may reach."""
    top = tmp_path / "root"
    for name in ("usr/lib/python3.11/test", "usr/lib/python3.12/test", "usr/share/man/man1", "usr/bin", "var/db/pkg"):
        (top / name).mkdir(parents=True)
    for name in ("usr/lib/a.a", "usr/lib/python3.11/b.a", "usr/share/man/man1/x.1", "usr/bin/[", "usr/bin/.hidden"):
        (top / name).write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_text("")
    (top / "lib").symlink_to("usr/lib")
    (top / "lib64").symlink_to("/usr/lib")
    (top / "escape").symlink_to("../outside")
    (top / "up").symlink_to("../../../../../../../..")
    (top / "host").symlink_to(tmp_path / "outside")
    (top / "loop").symlink_to("loop")
    return top


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("/usr/share/man", {"usr/share/man"}),
        ("//usr/./share/man/", {"usr/share/man"}),
        ("/usr/lib/python*/test", {"usr/lib/python3.11/test", "usr/lib/python3.12/test"}),
        ("/usr/lib/python3.1[12]/test", {"usr/lib/python3.11/test", "usr/lib/python3.12/test"}),
        ("/usr/lib/**/*.a", {"usr/lib/a.a", "usr/lib/python3.11/b.a"}),
        ("/usr/bin/**", {"usr/bin/[", "usr/bin/.hidden"}),
        ("/usr/bin/[", {"usr/bin/["}),
        ("/**/**/**/x.1", {"usr/share/man/man1/x.1"}),
        ("/usr/bin/.h*", {"usr/bin/.hidden"}),
        # Links on the way are the image's own, absolute ones too.
        ("/lib/*.a", {"usr/lib/a.a"}),
        ("/lib64/*.a", {"usr/lib/a.a"}),
        # A link at the end goes, its target stays.
        ("/lib", {"lib"}),
        ("/usr/share/man/man1/x.1/y", set()),
        ("/nothing/here", set()),
        ("/loop/x", set()),
        # After a chroot these lead to the image's own root.
        ("/escape/precious", set()),
        ("/host/precious", set()),
        ("/up/var/db/pkg", {"var/db/pkg"}),
    ],
)
def test_matches(root: Path, rule: str, expected: set[str]) -> None:
    assert matches(os.fsencode(root), rule) == {name.encode() for name in expected}


@pytest.mark.parametrize("rule", ["usr/share", "", "/", "///", "/.", "/lib64/../..", "/..", "/usr/lib/../bin"])
def test_rule_that_is_refused(rule: str) -> None:
    with pytest.raises(WorkerError, match="strip rule"):
        parse(rule)


def test_many_stars_take_no_time(tmp_path: Path) -> None:
    """Not each way through a deep tree on its own: there are more than anybody can count."""
    deep = tmp_path
    for _ in range(60):
        deep = deep / "a"
    deep.mkdir(parents=True)
    assert matches(os.fsencode(tmp_path), "/**" * 30 + "/x") == set()


@given(st.text(alphabet="/.*?[]a", min_size=1, max_size=12))
def test_no_rule_leaves_the_root(tmp_path_factory: pytest.TempPathFactory, rule: str) -> None:
    top = tmp_path_factory.mktemp("any")
    (top / "a").symlink_to("/")
    (top / ".a").symlink_to("../..")
    (top / "aa").mkdir()
    (top / "aa" / "a").symlink_to("../../..")
    try:
        found = matches(os.fsencode(top), rule)
    except WorkerError:
        return
    assert found <= {b"a", b".a", b"aa", b"aa/a"}


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path)
    (tmp_path / "é").write_text("")
    with open(raw + b"/\xff", "wb"):
        pass
    assert matches(raw, "/?") == {b"\xff", "é".encode()}
    assert matches(raw, "/\udcff") == {b"\xff"}
