"""From the text of an option to its value: what any program's options need (switches, numbers, paths, lists).

Every function takes the text (never empty: an empty value means the default) and the `Context`, and raises `Unfit` with
what was expected instead. Patterns are compiled when first used, because most options are not set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LOCK = ".lock"  # how the name of a lock ends, by which a profile's folder tells it from the profile
LAST_EPOCH = 253402300799  # the last second of the year 9999: later times have no RFC 3339 text, which images need

_ON = ("on", "yes", "true", "1")
_OFF = ("off", "no", "false", "0")


class Unfit(Exception):
    """A text is not fit for its option. `expected` completes "expected ..."; `got` is the part at fault, if not all."""

    def __init__(self, expected: str, got: str | None = None) -> None:
        super().__init__(expected)
        self.expected = expected
        self.got = got


class Context(NamedTuple):
    """What the meaning of a text depends on: the folder relative paths start at, and the home folder (for ~/)."""

    base: Path
    home: str | None


Parser = Callable[[str, Context], object]


def plain(text: str) -> bool:
    """Is `text` free of control characters, line ends and what is no character at all?"""
    if text.isprintable():
        return True
    return not any(_control(ord(character)) for character in text)


def _control(code: int) -> bool:
    """C0, DEL and C1; the two line ends of Unicode; surrogates, which stand for undecodable bytes of a variable."""
    return code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029) or 0xD800 <= code < 0xE000


def line(text: str, context: Context) -> str:
    """One line of any text."""
    if not plain(text):
        raise Unfit("one line of text without control characters")
    return text


def switch(text: str, context: Context) -> bool:
    """A truth value. Words are refused that getconf would silently take for false."""
    word = text.lower()
    if word not in _ON + _OFF:
        raise Unfit("on or off (or yes, no, true, false, 1, 0)")
    return word in _ON


def integer(text: str, context: Context) -> int:
    """Any whole number, in ASCII digits: int() would also take '1_0' and digits of other scripts."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Unfit("an integer")
    return int(text)


def count(text: str, context: Context) -> int:
    """A whole number, zero or more."""
    value = integer(text, context)
    if value < 0:
        raise Unfit("an integer, 0 or more")
    return value


def epoch(text: str, context: Context) -> int:
    """Seconds since 1970."""
    value = integer(text, context)
    if not 0 <= value <= LAST_EPOCH:
        raise Unfit(f"seconds since 1970, 0 to {LAST_EPOCH}")
    return value


def one_of(*choices: str) -> Parser:
    """Make the parser of a fixed set of words."""

    def choice(text: str, context: Context) -> str:
        if text not in choices:
            raise Unfit(" or ".join(choices))
        return text

    return choice


def path(text: str, context: Context) -> Path:
    """A path on this machine, made absolute: ~/ is the home folder, relative ones start at the context's base."""
    line(text, context)
    if text.startswith("~"):
        if not context.home or not text.startswith("~/"):
            raise Unfit("a path (~ is understood as ~/ only, and needs HOME)", text)
        text = context.home + text[1:]
    return Path(os.path.normpath(os.path.join(context.base, text)))


def folder(text: str, context: Context) -> Path:
    """A folder quern writes to: a path, and not the root of the file system."""
    value = path(text, context)
    if value == Path(value.anchor):
        raise Unfit("a folder that can be written to and cleaned, not /", text)
    return value


def lock(text: str, context: Context) -> Path:
    """The path of a lock, which quern writes."""
    value = path(text, context)
    if value.suffix != LOCK:
        raise Unfit(f"the path of a file whose name ends in {LOCK}")
    return value


def image_paths(text: str, context: Context) -> tuple[str, ...]:
    """Absolute paths inside an image, globs allowed. Repeated slashes are made one."""
    return tuple(_image_path(item) for item in items(text))


def image_path(text: str, context: Context) -> str:
    """One absolute path inside an image."""
    return _image_path(text)


def _image_path(text: str) -> str:
    parts = [part for part in text.split("/") if part]
    if not text.startswith("/") or not parts or "." in parts or ".." in parts or not plain(text):
        raise Unfit("an absolute path in the image, without . or ..", text)
    return "/" + "/".join(parts)


def items(text: str) -> list[str]:
    """Split a comma-separated list; new lines separate as well."""
    return [item for item in (part.strip() for part in text.replace("\n", ",").split(",")) if item]


def distinct(values: list[str], what: str) -> tuple[str, ...]:
    """Give the values as a tuple, or refuse the first that stands there twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise Unfit(f"each {what} once", value)
    return tuple(values)
