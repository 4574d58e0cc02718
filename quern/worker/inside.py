"""Runs one command in the tree of an image as a container of it would: there is nothing but the image.

A container's process 1 is the command itself; here it is ours, see confine.py, which does the rest.
"""

from __future__ import annotations

import codecs
import json
import os
import stat
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple, NoReturn

from . import WorkerError, namespaces
from .accounts import HOSTS, is_id, table
from .confine import NOT_FOUND, isolated
from .links import follow
from .special import KINDS

PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"  # of this network namespace
RESOLVER = "/etc/resolv.conf"
READ = 1 << 24  # characters of a file of accounts at most
MISPLACED = "{path} in the image: expected {expected}, found {found}"
NOBODY = "[dockergen] user = {user}: the image's /etc/passwd and /etc/group do not have it"


def inside(request: str, *argv: str) -> int:
    """Run `argv`; returns its exit status, 128 + N for signal N.

    `request` is JSON: {"root": the tree, which is written to, "shown": a folder, "at": its path in there, or "" for
    none of both, "network": bool, "user": USER[:GROUP] or "", "environment": all of it but HOME, "folders": those that
    must be there, "folder": where to run, "filter": see confine}. A program without a slash in its name is looked for
    in PATH of that environment. Without a command everything else is done: that it can be.
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
        folders = [*asked["folders"], asked["folder"]]
        try:
            at = furnish(asked["root"], asked["at"], folders, {"/etc/hosts": HOSTS, RESOLVER: resolver})
        except WorkerError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        namespaces.enter(asked["root"], asked["shown"], at, folders)
        namespaces.restrict(asked["filter"])

    def become() -> NoReturn:
        try:
            if is_root:
                os.setgroups(user.groups)
                os.setgid(user.gid)
                os.setuid(user.uid)
            os.chdir(asked["folder"])
            _execute(argv, {"HOME": user.home, **asked["environment"]})
        except OSError as error:
            print(f"exec {argv[0]}: {str(error.strerror).lower()}", file=sys.stderr, flush=True)
            os._exit(NOT_FOUND)

    return isolated(begin, arrange, become if argv else None)


def _execute(argv: tuple[str, ...], environment: dict[str, str]) -> NoReturn:
    """Become the command. Raises OSError; os.execvpe would import a module, which it could not any more."""
    folders = environment.get("PATH", "").split(":") if "/" not in argv[0] else [""]
    for folder in folders:
        try:
            os.execve(os.path.join(folder, argv[0]), argv, environment)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            if folder == folders[-1]:
                raise
    raise AssertionError  # either of the two has happened


def furnish(root: str, at: str, folders: Iterable[str], files: Mapping[str, str]) -> str:
    """Make what a container has in the tree `root`: its folders, `at` with them, and files with their texts.

    `at` may be empty. Links are followed within the tree; what is in the place of a file is replaced. Returns where
    `at` really is. Raises WorkerError, which names the path in the image, where there can be no such folder or file.
    """
    for folder in filter(None, ("/dev", "/proc", at, *folders)):
        _make_folder(root, folder, folder)
    for path, text in files.items():
        _make_folder(root, os.path.dirname(path), path)
        found = follow(os.fsencode(root), os.fsencode(path))
        if found.name.split(b"/")[0] in (b"dev", b"proc"):
            continue  # upon which something is mounted: `resolv.conf -> /dev/null`
        if found.mode is not None and stat.S_ISDIR(found.mode):
            raise WorkerError(MISPLACED.format(path=path, expected="a file", found="a folder"))
        folder, _, name = f"/{os.fsdecode(found.name)}".rpartition("/")
        target = os.path.join(_make_folder(root, folder, path), name)
        with suppress(FileNotFoundError):
            os.unlink(target)
        _write(target, text)
    return "/" + os.path.relpath(_make_folder(root, at, at), root) if at else ""


def _make_folder(root: str, folder: str, path: str) -> str:
    """Make a folder of the tree, for the sake of `path`; returns where it is on this machine."""
    found = follow(os.fsencode(root), os.fsencode(folder))
    real = os.path.join(root, os.fsdecode(found.name))
    kind = "a file" if found.mode is None else KINDS.get(stat.S_IFMT(found.mode), "a file")
    try:
        if b".." not in found.name.split(b"/"):  # of a link to what is not there
            os.makedirs(real, exist_ok=True)
            return real
    except (FileExistsError, NotADirectoryError):
        pass
    where = path if folder == path else f"{path}: {folder}"
    raise WorkerError(MISPLACED.format(path=where, expected="a folder", found=kind))


class User(NamedTuple):
    """Who a command runs as."""

    uid: int
    gid: int
    groups: list[int]
    home: str


def identity(root: str, text: str) -> User:
    """What USER[:GROUP], names or numbers, means in the tree `root` (OCI image-spec config.md, User).

    Raises WorkerError for a name that its /etc/passwd or /etc/group does not have, or a number that is no id.
    """
    name, _, group = text.partition(":")
    name = name or "0"
    accounts, groups = table(root, "passwd", 7), table(root, "group", 4)
    account = next((row for row in accounts if name in (row[0], row[2])), None)
    if account is None and not is_id(name):
        raise WorkerError(NOBODY.format(user=text))
    uid, gid, home = (int(account[2]), int(account[3]), account[5]) if account else (int(name), 0, "")
    more = [int(row[2]) for row in groups if account and account[0] in row[3].split(",")]
    if group:
        row = next((row for row in groups if group in (row[0], row[2])), None)
        if row is None and not is_id(group):
            raise WorkerError(NOBODY.format(user=text))
        gid, more = int(row[2] if row else group), []
    return User(uid, gid, more, home or "/")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(READ)
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
