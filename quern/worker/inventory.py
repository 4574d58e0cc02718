"""What is in a tree, file by file: sizes and packages alone, or everything with the digest of its content."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from typing import Any

from . import vdb
from .walk import content, walk, xattrs

KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def inventory(root: str, database: str) -> dict[str, Any]:
    """The content of `root`; `database` is the root whose package database says what is whose.

    Returns {"packages": [cpv, ...], "files": [[name, kind, mode, owner, size, content, package, attributes], ...]}:
    `mode` as in chmod, `owner` UID:GID, `size` in bytes (0 for the further names of a file with several), `content` a
    digest, what a link points to, or a device's numbers, `attributes` see attributes_digest(); names that are no UTF-8
    have surrogates (os.fsdecode).
    """
    owners = vdb.owners(database)
    digests: dict[bytes, str] = {}
    rows = []
    for entry in walk(os.fsencode(root)):
        path = os.path.join(os.fsencode(root), entry.name)
        mode, size = entry.status.st_mode, 0
        said = ""
        if stat.S_ISREG(mode) and entry.first is not None:
            said = digests[entry.first]
        elif stat.S_ISREG(mode):
            size = entry.status.st_size
            said = digests[entry.name] = _digest(path, size)
        elif stat.S_ISLNK(mode):
            said = os.fsdecode(os.readlink(path))
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            said = f"{os.major(entry.status.st_rdev)}:{os.minor(entry.status.st_rdev)}"
        kind = KINDS[stat.S_IFMT(mode)]
        owner = ":".join(map(str, entry.owner))
        package = owners.get("/" + os.fsdecode(entry.name), "")
        attributes = attributes_digest(xattrs(path))
        rows.append([os.fsdecode(entry.name), kind, f"{entry.mode:o}", owner, size, said, package, attributes])
    return {"packages": list(vdb.described(database)), "files": rows}


def sizes(root: str, database: str) -> dict[str, Any]:
    """What takes space in `root`, from metadata alone; `database` is the root that has the package database.

    Returns {"files": [[path, size, package], ...], "packages": [cpv, ...]}: of all that is no folder the absolute path
    in `root`, spelt as in `inventory`, its size in bytes (0 for links, and for the further names of a file with
    several) and its package, empty if it has none; and all packages that have files in `database`, sorted.
    Raises OSError.
    """
    owners = vdb.owners(database)
    rows = []
    for entry in walk(os.fsencode(root)):
        mode, path = entry.status.st_mode, "/" + os.fsdecode(entry.name)
        if not stat.S_ISDIR(mode):
            size = entry.status.st_size if stat.S_ISREG(mode) and entry.first is None else 0
            rows.append([path, size, owners.get(path, "")])
    return {"files": rows, "packages": sorted(set(owners.values()))}


def attributes_digest(found: Mapping[str, bytes]) -> str:
    """What stands for extended attributes, by name (see walk.xattrs); empty if there are none."""
    text = b"".join(f"{name}={len(found[name])}:".encode() + found[name] for name in sorted(found))
    return hashlib.sha256(text).hexdigest() if found else ""


def _digest(path: bytes, size: int) -> str:
    digest = hashlib.sha256()
    for piece in content(path, size):
        digest.update(piece)
    return digest.hexdigest()
