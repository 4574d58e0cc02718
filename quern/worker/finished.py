"""A finished root: what is taken out of it that only says when and where it was made, and what no layer can hold.

It does not matter who merged the packages into it.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Container, Iterator
from typing import Any

from . import vdb
from .links import follow
from .rules import matches
from .walk import walk

MOST_ID = 65535  # the last that an engine of an ordinary user maps: subuid(5), 65,536 of them by default

_ACCOUNTS = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
# Caches, locks, backups, seeds and logs that programs make again when they want them. A package's own file is none.
CACHES = (
    "/var/cache/ldconfig/aux-cache",  # inodes and times: ldconfig(8)
    "/etc/ld.so.cache~",
    "/var/cache/fontconfig/**/*",  # times of folders: fc-cache(1)
    "/var/cache/man/**/*",  # times of files: mandb(8)
    "/etc/.pwd.lock",  # lckpwdf(3)
    *(f"/etc/{name}{end}" for name in _ACCOUNTS for end in ("-", ".lock")),  # of shadow's tools
    "/etc/.updated",  # the time: systemd-update-done.service(8)
    "/var/.updated",
    "/var/lib/systemd/random-seed",  # the same in every container: systemd's BUILDING_IMAGES.md
    "/var/lib/systemd/credential.secret",
    "/var/lib/misc/random-seed",
    "/var/lib/seedrng/**/*",
    "/var/lib/urandom/random-seed",
    "/var/log/emerge.log",
    "/var/log/emerge-fetch.log",
    "/var/log/portage/**/*",
)  # fmt: skip
IDENTITIES = ("/etc/machine-id", "/var/lib/dbus/machine-id")  # "missing or empty" in an image: machine-id(5)
_BYTECODE = "/**/__pycache__/*.pyc"

_WHITEOUT = "a name that begins with .wh. removes a file of another layer and is none itself (OCI image-spec, layer.md)"
_DEVICE = "a character device 0:0 removes a file of another layer and is none itself (overlayfs)"


def clear(root: str, installed: Container[bytes]) -> list[str]:
    """Remove what every program makes again, but the files `installed` by packages (names below `root`).

    Returns the paths of what was removed, in the root.
    """
    top = os.fsencode(root)

    def unowned(rule: str) -> list[bytes]:
        return [name for name in sorted(matches(top, rule)) if name not in installed]

    names = [name for rule in CACHES for name in unowned(rule)]
    names += [name for name in unowned(_BYTECODE) if _is_by_time(os.path.join(top, name))]
    names += [name for rule in IDENTITIES for name in unowned(rule) if _is_identity(os.path.join(top, name))]
    removed = [name for name in names if _removed(os.path.join(top, name))]
    for name in (name for rule in IDENTITIES for name in unowned(rule)):
        path = os.path.join(top, name)
        if os.path.islink(path) and follow(top, name).mode is None and _removed(path):
            removed.append(name)
    return ["/" + os.fsdecode(name) for name in removed]


def _removed(path: bytes) -> bool:
    """Remove a file or link; whether it was one."""
    mode = os.lstat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        return False
    os.unlink(path)
    return True


def _is_by_time(path: bytes) -> bool:
    """Whether Python would compare the time of the source with what this file says (PEP 552).

    An image has another time for all of its files: Python would not use it, and compile again.
    """
    return _head(path, 8)[4:] == bytes(4)


def _is_identity(path: bytes) -> bool:
    return bool(re.fullmatch(rb"[0-9a-f]{32}\n?", _head(path, 64)))


def _head(path: bytes, size: int) -> bytes:
    """The first bytes of a file; nothing of what is none."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return b""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return file.read(size)


def layer(root: str, whole: str) -> dict[str, Any]:
    """What of `root` no layer can hold, and what some engines cannot; `whole` is the root with the database.

    Returns {"refused": [{"file", "package", "why"}, ...], "ids": [{"file", "package", "owner"}, ...]}: `owner` is
    UID:GID of what belongs to an id above MOST_ID.
    """
    found = [(os.fsdecode(b"/" + name), why, owner) for name, why, owner in _unfit(os.fsencode(root))]
    owners = vdb.owners(whole) if found else {}
    rows = [({"file": file, "package": owners.get(file, "")}, why, owner) for file, why, owner in found]
    return {
        "refused": [{**row, "why": why} for row, why, _ in rows if why],
        "ids": [{**row, "owner": owner} for row, why, owner in rows if not why],
    }


def _unfit(root: bytes) -> Iterator[tuple[bytes, str, str]]:
    """The name of what is refused, and why; or of what belongs to a high id, and the owner."""
    for entry in walk(root):
        uid, gid = entry.owner
        if os.path.basename(entry.name).startswith(b".wh."):
            yield entry.name, _WHITEOUT, ""
        elif stat.S_ISCHR(entry.status.st_mode) and entry.status.st_rdev == 0:
            yield entry.name, _DEVICE, ""
        elif max(uid, gid) > MOST_ID:
            yield entry.name, "", f"{uid}:{gid}"
