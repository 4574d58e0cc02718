"""Runs one command in the tree of an image as a container of it would: there is nothing but the image.

A container's process 1 is the command itself; here it is ours, see confine.py, which does the rest.
"""

from __future__ import annotations

import codecs
import json
import os
import sys
from contextlib import suppress
from typing import NamedTuple, NoReturn

from . import WorkerError, namespaces, regular
from .confine import NOT_FOUND, isolated

PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"  # of this network namespace
ACCOUNTS_LIMIT = 16 << 20  # bytes of a file of accounts
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"  # as docker writes it
RESOLVER = "/etc/resolv.conf"
NOBODY = "[dockergen] user = {user}: the image's /etc/passwd and /etc/group do not have it"


def inside(request: str, *argv: str) -> int:
    """Run `argv`; returns its exit status, 128 + N for signal N.

    `request` is JSON: {"root": the tree, which is written to, "shown": a folder, "at": its path in there, "network":
    bool, "user": USER[:GROUP] or "", "environment": all of it but HOME, "folders": those that must be there, "folder":
    where to run, "filter": see confine}. Without a command everything else is done: that it can be.
    """
    asked = json.loads(request)
    try:
        user = identity(asked["root"], asked["user"])
    except WorkerError as error:
        print(error, file=sys.stderr)
        return 1
    is_root = os.geteuid() == 0
    resolver = _read(RESOLVER) if asked["network"] else ""
    codecs.lookup("ascii")  # inside nothing more can be imported

    def begin() -> None:
        namespaces.unshare(asked["network"], user[:2])
        if not asked["network"]:
            with suppress(OSError):  # in a container it cannot be written to
                _write(PORTS, "0")  # as docker does: any user's server may listen on port 80

    def arrange() -> None:
        folders = ["/etc", *asked["folders"], asked["folder"]]
        namespaces.enter(asked["root"], asked["shown"], asked["at"], folders)
        _write("/etc/hosts", HOSTS)
        _write(RESOLVER, resolver)
        namespaces.restrict(asked["filter"])

    def become() -> NoReturn:
        try:
            if is_root:
                os.setgroups(user.groups)
                os.setgid(user.gid)
                os.setuid(user.uid)
            os.chdir(asked["folder"])
            os.execve(argv[0], argv, {"HOME": user.home, **asked["environment"]})
        except OSError as error:
            print(f"exec {argv[0]}: {str(error.strerror).lower()}", file=sys.stderr, flush=True)
            os._exit(NOT_FOUND)

    return isolated(begin, arrange, become if argv else None)


class User(NamedTuple):
    """Who a command runs as."""

    uid: int
    gid: int
    groups: list[int]
    home: str


def identity(root: str, text: str) -> User:
    """What USER[:GROUP], names or numbers, means in the tree `root` (OCI image-spec config.md, User).

    Raises WorkerError for a name that its /etc/passwd or /etc/group does not have.
    """
    name, _, group = text.partition(":")
    name = name or "0"
    accounts, groups = _table(root, "passwd", 7), _table(root, "group", 4)
    account = next((row for row in accounts if name in (row[0], row[2])), None)
    if account is None and not name.isdigit():
        raise WorkerError(NOBODY.format(user=text))
    uid, gid, home = (int(account[2]), int(account[3]), account[5]) if account else (int(name), 0, "")
    more = [int(row[2]) for row in groups if account and account[0] in row[3].split(",")]
    if group:
        row = next((row for row in groups if group in (row[0], row[2])), None)
        if row is None and not group.isdigit():
            raise WorkerError(NOBODY.format(user=text))
        gid, more = int(row[2] if row else group), []
    return User(uid, gid, more, home or "/")


def _table(root: str, name: str, columns: int) -> list[list[str]]:
    """The lines of passwd(5) or group(5) that are in order.

    A link is not followed, which could lead out of the tree, and nothing but a file is opened: an image may be hostile.
    """
    path = os.path.join(os.path.realpath(root), "etc", name)
    try:
        text = regular.text(path, ACCOUNTS_LIMIT) if os.path.realpath(path) == path else ""
    except OSError:
        text = ""
    rows = [line.split(":") for line in text.splitlines()]
    return [row for row in rows if len(row) == columns and row[2].isdigit() and (columns < 7 or row[3].isdigit())]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(os.path.realpath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
