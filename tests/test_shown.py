"""What a command shows at a terminal of its own."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.drivers.shown import PATIENCE, Shown
from quern.terminal import harmless_bytes


def shown(*pieces: bytes) -> tuple[list[bytes], list[str], bytes]:
    """What is shown of each piece, the lines, and the log."""
    log, lines = io.BytesIO(), list[str]()
    log.name = "log"
    screen = Shown(log, lines.append)
    given = [screen.piece(piece) for piece in pieces]
    screen.end()
    return given, lines, log.getvalue()


def test_a_question_is_shown_at_once() -> None:
    assert shown(b"one\r\nSure? ", b"y", b"es\r\n") == (
        [b"one\r\nSure? ", b"y", b"es\r\n"], ["one", "Sure? yes"], b"one\nSure? yes\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"a\r", b"\nb"), [b"a", b"\r\nb"]),  # or the next line would begin under the end of this one
        ((b"caf\xc3", b"\xa9!"), [b"caf", "é!".encode()]),
        ((b"a\x1b]52;c;", b"YQ==\x07b"), [b"a", b"b"]),  # sets the clipboard
        ((b"\xc2", b"\x9b2J"), [b"", b"2J"]),  # a control of one character
        ((b"\xc2\x1b[m", b"\x9b2J"), [b"", b"2J"]),
        ((b"yse\b \b\b \bes",), [b"yse\b \b\b \bes"]),
    ],
)
def test_what_a_terminal_would_obey_comes_in_pieces(pieces: tuple[bytes, ...], expected: list[bytes]) -> None:
    assert shown(*pieces)[0] == expected


def test_what_never_ends_is_shown_all_the_same() -> None:
    first, second = shown(b"\x1b]0;" + b"a" * PATIENCE, b"b")[0]
    assert first.endswith(b"aaa")
    assert b"\x1b" not in first
    assert second == b"b"


@given(st.binary(max_size=40), st.lists(st.integers(0, 40), max_size=5))
def test_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    ends = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in pairwise(ends)]
    given, lines, log = shown(*pieces)
    whole = b"".join(given).replace(b"\b \b", b"")
    assert harmless_bytes(whole) == whole
    assert harmless_bytes(log) == log
    assert len(lines) == log.count(b"\n")
