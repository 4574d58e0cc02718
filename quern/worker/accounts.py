"""The accounts that a build sees: those of its root, and `root` and `nobody`; none of the machine's.

In namespaces files of the folder PLACE are mounted over the machine's, read-only (namespaces.py); they are written when
packages have been merged into the root. In a container its own files are written: they go with it. A build that is not
confined has the machine's accounts.

A group `nogroup` is known only where the root has one: its number is 65534 in Debian and 65533 in Gentoo.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from . import regular
from .links import follow
from .settings import CONTAINER

PLACE = "/dev/etc"  # a file system of the build's own
LIMIT = 16 << 20  # bytes of a file of accounts
MAX_ID = (1 << 31) - 1  # as docker has it
NOBODY = 65534  # to the kernel as well: /proc/sys/kernel/overflowuid

PASSWD = {"root": "root:x:{uid}:{gid}:root:/root:/bin/sh", "nobody": f"nobody:x:{NOBODY}:{NOBODY}:nobody:/:/bin/false"}
GROUP = {"root": "root:x:{gid}:", "nobody": f"nobody:x:{NOBODY}:"}
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"  # as docker writes it
NSSWITCH = "passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files\n"  # nsswitch.conf(5)
# what else says whose machine it is; these are empty
SECRET = (
    *(f"{name}{end}" for name in ("shadow", "gshadow", "subuid", "subgid") for end in ("", "-")),
    "passwd-", "group-", "machine-id", "resolv.conf",
)  # fmt: skip


class Numbers(NamedTuple):
    """The numbers that accounts and groups have."""

    users: frozenset[int]
    groups: frozenset[int]


def covers() -> dict[str, str]:
    """What files of the machine's /etc are covered by, by name, while nothing is installed yet."""
    constant = {"hosts": HOSTS, "hostname": "localhost\n", "nsswitch.conf": NSSWITCH}
    return {**dict.fromkeys(SECRET, ""), **_of(None, os.geteuid(), os.getegid()), **constant}


def show(root: str) -> bool:
    """Have processes see the accounts of the tree `root`; returns False where builds are not confined."""
    texts = _of(root, os.geteuid(), os.getegid())
    if os.path.isdir(PLACE):
        write(PLACE, texts)
        return True
    if os.path.dirname(os.path.abspath(__file__)) == CONTAINER:
        write("/etc", {**texts, "nsswitch.conf": NSSWITCH} if os.path.isfile("/etc/nsswitch.conf") else texts)
        return True
    return False


def complete(root: str) -> None:
    """Write files of accounts into the tree `root` where it has none: Portage's fowners looks names up in there."""
    for name, text in _of(root, 0, 0).items():
        found = follow(os.fsencode(root), os.fsencode(f"etc/{name}"))
        path = os.path.join(root, os.fsdecode(found.name))
        if found.mode is None and b".." not in found.name.split(b"/"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write(os.path.dirname(path), {os.path.basename(path): text})


def numbers(root: str) -> Numbers:
    """The numbers of the accounts that a build with the tree `root` can know."""
    users = {int(row[2]) for row in table(root, "passwd", 7)}
    groups = {int(row[2]) for row in table(root, "group", 4)}
    return Numbers(frozenset(users | {0, NOBODY}), frozenset(groups | {0, NOBODY}))


def table(root: str, name: str, columns: int) -> list[list[str]]:
    """The lines of passwd(5) or group(5) of the tree `root` that are in order.

    Links are followed within the tree, and nothing but a file is opened: an image may be hostile.
    """
    found = follow(os.fsencode(root), os.fsencode(f"etc/{name}"))
    try:
        text = regular.text(os.path.join(root, os.fsdecode(found.name)), LIMIT)
    except OSError:
        text = ""
    return rows(text, columns)


def rows(text: str, columns: int) -> list[list[str]]:
    """The lines of passwd(5), which has 7 columns, or group(5), which has 4, that are in order."""
    found = [line.split(":") for line in text.split("\n")]
    return [row for row in found if len(row) == columns and is_id(row[2]) and (columns < 7 or is_id(row[3]))]


def is_id(text: str) -> bool:
    """Whether it is a number that an account or group can have."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_ID


def _of(root: str | None, uid: int, gid: int) -> dict[str, str]:
    """The texts of passwd and group for builds with the tree `root`, None: with nothing, as the user `uid`.

    An ordinary user is called root: his files stand for root's.
    """
    texts = {}
    for name, columns, always in (("passwd", 7, PASSWD), ("group", 4, GROUP)):
        lines = {each: line.format(uid=uid, gid=gid) for each, line in always.items()}
        kept = {"root"} if uid else set[str]()
        for row in table(root, name, columns) if root else []:
            if row[0] not in kept:  # of two lines the first counts
                kept.add(row[0])
                lines[row[0]] = ":".join(row)
        texts[name] = "".join(f"{line}\n" for line in lines.values())
    return texts


def write(folder: str, texts: Mapping[str, str]) -> None:
    """Write files of `folder`, by name, where they are: a mount may show one elsewhere."""
    for name, text in texts.items():
        path = os.path.join(folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
