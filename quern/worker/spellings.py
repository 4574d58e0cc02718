"""Every name that a path has on the way to where links lead it: where one is hidden, so is what it leads to."""

from __future__ import annotations

import os

LIMIT = 40  # links on the way, as of the kernel (path_resolution(7))


def names(path: str) -> list[str]:
    """The path, absolute, then as each link on the way spells it, and its real name last."""
    found = [os.path.abspath(path)]
    while len(found) <= LIMIT and (following := _follow(found[-1])):
        found.append(following)
    real = os.path.realpath(path)
    return [name for name in dict.fromkeys(found) if name != real] + [real]


def _follow(path: str) -> str:
    """The path with the first link on the way replaced by its text; empty if there is none."""
    parts = path.split("/")
    for end in range(2, len(parts) + 1):
        link = "/".join(parts[:end])
        if os.path.islink(link):
            target = os.path.join(os.path.dirname(link), os.readlink(link))
            return os.path.normpath(os.path.join(target, *parts[end:]))
    return ""
