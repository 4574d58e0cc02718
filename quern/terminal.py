"""Write to a terminal; and text of others made fit for a terminal, a log and a message.

What ebuilds print and repositories are called may hold what terminals obey: sequences that move the cursor, set the
title or fill the clipboard (ECMA-48; xterm's OSC 52), and signs that turn the direction of writing. And addresses may
hold passwords.
"""

from __future__ import annotations

import os
import re
from textwrap import TextWrapper
from typing import IO

CLEAR = "\r\x1b[J"  # from the beginning of this line to the end of the screen

_SEQUENCE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udc7f\udd00-\udfff]|\r(?!\n)"
_USERINFO = r"(?<=://)[^/\s]*@"  # RFC 3986, 3.2.1


def harmless(text: str) -> str:
    """The text without what a terminal would obey, but line ends and tabs, and without user and password in URLs.

    Bytes that were no text (surrogates of PEP 383) stay: they must not become such a thing when they are written.
    """
    if text.replace("\n", "").replace("\t", "").isprintable() and "@" not in text:
        return text  # as nearly every line, and every line passes here

    before = None
    while before != text:  # what is removed may have kept two bytes from being one character, a control
        before = text
        text = _decoded(re.sub(f"{_SEQUENCE}|{_CONTROL}|{_USERINFO}", "", text))
    return text


def harmless_bytes(data: bytes) -> bytes:
    """The same of bytes that are mostly UTF-8; those that are not stay as they are."""
    return harmless(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def _decoded(text: str) -> str:
    """The text as whoever reads its bytes will read it."""
    if text.isascii():
        return text
    return text.encode(errors="surrogateescape").decode(errors="surrogateescape")


def is_terminal(stream: IO[str]) -> bool:
    """Whether lines can be rewritten there."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def size(stream: IO[str]) -> tuple[int, int]:
    """The columns and lines of a terminal; of what is none, or does not know, the usual ones."""
    found = os.get_terminal_size(stream.fileno()) if is_terminal(stream) else (0, 0)
    return found[0] or 80, found[1] or 24


def folded(stream: IO[str], line: str, head: str) -> str:
    """Put `head` before a line for the terminal `stream`, and the same room before what does not fit beside it.

    Words stay whole, since a path may be copied.
    """
    room = " " * (len(head) + len(line) - len(line.lstrip()))
    wrapper = TextWrapper(size(stream)[0], break_long_words=False, break_on_hyphens=False, subsequent_indent=room)
    return wrapper.fill(head + line) + "\n"


def write(stream: IO[str], text: str) -> None:
    """Write in one piece, since other processes may write to the same terminal."""
    stream.write(f"{CLEAR}{text}" if is_terminal(stream) else text)
    stream.flush()
