"""What is shown of others' text, and what terminals would make of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quern.errors import BuildError
from quern.terminal import harmless, harmless_bytes
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import Lab, ebuild

CLIPBOARD, TITLE = "\x1b]52;c;ZXZpbA==\x07", "\x1b]0;a title\x1b\\"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 日本\tand\nlines\r\n", "plain, größer, 日本\tand\nlines\r\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2Aup\x1b[Kerased", "uperased"),
        (f"a{CLIPBOARD}b{TITLE}c", "abc"),
        ("\x1b]0;no end", "0;no end"),
        ("\x1bP1$qm\x1b\\x\x1bcreset\x1b(0", "xreset"),
        ("\x9b2J\x9d0;t\x9c", "2J0;t"),
        ("good\rbad\b\b\b\x07", "goodbad"),
        ("\u202egnp.exe", "gnp.exe"),
        ("\x1b\x07[2J", "[2J"),
        ("get https://me:s:e@cret@host/x and ftp://token@h", "get https://host/x and ftp://h"),
        ("mail me@example.org, cat/pkg[x]", "mail me@example.org, cat/pkg[x]"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert harmless(text) == shown


PIECES = st.sampled_from(
    ["\x1b", "[", "]52;c;", "\x07", "\x9b", "\r", "\n", "://", "me:secret", "@", "/", "\udcc2", "\udc9b"]
)


@given(st.lists(PIECES | st.characters(), max_size=12).map("".join))
@example("\udcc2\x07\udc9b")
def test_nothing_is_left_to_obey(text: str) -> None:
    """Whichever way the bytes are read."""
    left = harmless(text).encode(errors="surrogateescape")
    for read in (left.decode(errors="replace"), left.decode(errors="surrogateescape"), left.decode(errors="ignore")):
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e]|\r(?!\n)", read)
    assert not re.search(rb"://[^/\s]*@", left)
    assert harmless_bytes(left) == left


def test_an_error_is_harmless() -> None:
    assert str(BuildError(f"x{CLIPBOARD} failed\n  at https://me:secret@host/")) == "x failed\n  at https://host/"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


@pytest.mark.emerge
def test_an_ebuild_that_talks_to_the_terminal(lab: Lab) -> None:
    says = "printf '\\033]52;c;ZXZpbA==\\007\\033[2J\\033]0;title\\033\\\\ %s\\n' 'look here'; eerror $'\\e[2Jlook'"
    write(lab.tree, {"lab/broken/broken-1.ebuild": ebuild(body=f"{says}; die $'\\e]0;t\\athis is broken'")})
    write(lab.tree, {"profiles/image/packages": "lab/broken\n"})
    with pytest.raises(BuildError) as error:
        lab.build()
    assert "this is broken" in str(error.value)
    shown = "\n".join([str(error.value), *lab.said])
    log = (lab.folder / "work/logs/packages.log").read_text()
    assert "look here" in _logs(lab.folder / "work/logs")
    assert "\x1b" not in shown + log
    assert "\x07" not in shown + log


def _logs(folder: Path) -> str:
    return "".join(Path(where, name).read_text() for where, _, names in os.walk(folder) for name in names)
