"""Text of others made fit for a terminal, a log and a message.

What ebuilds print and repositories are called may hold what terminals obey: sequences that move the cursor, set the
title or fill the clipboard (ECMA-48; xterm's OSC 52), and signs that turn the direction of writing. And addresses may
hold passwords.
"""

from __future__ import annotations

import re

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
