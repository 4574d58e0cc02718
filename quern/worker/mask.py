"""INSTALL_MASK (make.conf(5)): what of a package's files is not installed."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from typing import NamedTuple

# FEATURES that stand for a folder below /usr/share
FOLDERS = {"noman": "man", "noinfo": "info", "nodoc": "doc"}


class InstallMask(NamedTuple):
    """The patterns, in order: the last one that matches counts, and one that begins with a hyphen is an exception."""

    patterns: tuple[str, ...] = ()
    if_empty: tuple[bytes, ...] = ()  # folders that are left out where nothing is left in them

    def matches(self, name: bytes) -> bool:
        """Whether the file `name` is left out; a folder's ends in a slash, and is left out only if it is empty."""
        if name in self.if_empty:
            return True
        path, masked = os.fsdecode(name), False
        for pattern in self.patterns:
            is_exception = pattern.startswith("-")
            if _matches(path, pattern[1:] if is_exception else pattern):
                masked = not is_exception
        return masked


def _matches(path: str, pattern: str) -> bool:
    if not pattern.startswith("/"):
        return fnmatch.fnmatch(os.path.basename(path), pattern)
    below = pattern[1:].rstrip("/")
    exact = f"{below}/" if path.endswith("/") else pattern[1:]
    return fnmatch.fnmatch(path, exact) or fnmatch.fnmatch(path, f"{below}/*")


def install_mask(patterns: Iterable[str], features: Iterable[str]) -> InstallMask:
    """The mask that `patterns`, the words of INSTALL_MASK, and FEATURES stand for."""
    more = [f"/usr/share/{folder}" for feature, folder in FOLDERS.items() if feature in features]
    return InstallMask((*patterns, *more), (b"usr/share/",) if more else ())
