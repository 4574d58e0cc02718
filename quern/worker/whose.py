"""One path of an image: the package that owns it, where it leads, and the strip rules that take it out."""

from __future__ import annotations

import difflib
import os
import stat
from typing import Any

from . import vdb
from .inventory import KINDS
from .links import follow, real_folder
from .rules import matches
from .walk import walk


def whose(root: str, stripped: str, path: str, rules: list[str]) -> dict[str, Any]:
    """What is known of the absolute `path`; `root` is the whole root with its database, `stripped` the image.

    Returns {"path": its real name, after the links on the way were followed, "kind": see KINDS, "" if it is in neither
    tree, "in_image": bool, "package": cpv or "", "packages": of a folder, those with files in it, "target": [where a
    link leads in the end, the package of that], "rules": those of `rules` that match it or a folder it is in, "near":
    the likeliest path, where nothing is known of this one}. Names that are no UTF-8 have surrogates. Raises OSError.
    """
    top, owners = os.fsencode(root), vdb.owners(root)
    name = _real_name(top, os.fsencode(path))
    real = "/" + os.fsdecode(name)
    mode = _mode(os.path.join(top, name))
    found: dict[str, Any] = {
        "path": real,
        "kind": "" if mode is None else KINDS.get(stat.S_IFMT(mode), "socket"),
        "in_image": os.path.lexists(os.path.join(os.fsencode(stripped), name)),
        "package": owners.get(real, ""),
        "packages": [],
        "target": [],
        "rules": _taken_by(top, name, rules),
        "near": "",
    }
    if mode is None and not found["package"]:
        found["near"] = _near(top, name)
    elif mode is not None and stat.S_ISDIR(mode):
        below = real.rstrip("/") + "/"
        found["packages"] = sorted({owner for owned, owner in owners.items() if owned.startswith(below)})
    elif mode is not None and stat.S_ISLNK(mode):
        target = follow(top, name)
        where = "/" + os.fsdecode(target.name)
        found["target"] = [where, owners.get(where, "")] if target.mode is not None else []
    return found


def _real_name(top: bytes, path: bytes) -> bytes:
    """The name below the root, after the links in its folder were followed; one at the end is taken itself."""
    folder, base = os.path.split(path.rstrip(b"/"))
    real = real_folder(top, folder)
    return os.path.join(folder.strip(b"/") if real is None else real, base)


def _mode(path: bytes) -> int | None:
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _taken_by(top: bytes, name: bytes, rules: list[str]) -> list[str]:
    parts = name.split(b"/")
    above = {b"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return [rule for rule in rules if above & matches(top, rule)]


def _near(top: bytes, name: bytes) -> str:
    """The likeliest path: of the same name elsewhere, else the likeliest name of all, beside this one if there."""
    known: dict[str, list[bytes]] = {}
    for entry in walk(top):
        known.setdefault(os.fsdecode(os.path.basename(entry.name)), []).append(entry.name)
    base = os.fsdecode(os.path.basename(name))
    beside = [word for word, places in known.items() if any(_folder(each) == _folder(name) for each in places)]
    words = [base] if base in known else []
    words = words or difflib.get_close_matches(base, beside, n=1) or difflib.get_close_matches(base, known, n=1)
    if not words or not words[0]:
        return ""
    places = known[words[0]]
    return "/" + os.fsdecode(min(places, key=lambda place: (_folder(place) != _folder(name), len(place), place)))


def _folder(name: bytes) -> bytes:
    return os.path.dirname(name)
