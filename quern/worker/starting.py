"""Whether an image can start as quern.conf says: its program, folder and user (OCI image-spec, config.md)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import WorkerError
from .elf import MAGIC
from .finished import MOST_ID
from .inside import User, identity
from .links import Followed, follow
from .missing import Missing

MOUNTED = re.compile(rb"(proc|sys|dev|run|tmp|var/run|var/tmp)(/|\Z)")  # by engines
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # what they give where an image has none
USER = "dockergen.user"

_ABSENT = "no package has installed it"
_RUN_AS_NON_ROOT = "{said} is a name, which Kubernetes cannot tell from root (runAsNonRoot); {number} is the same user"
_ROOTLESS = "{said}: engines of ordinary users have ids up to {most} only"


class Start(NamedTuple):
    """What quern.conf says of how containers start; empty: nothing. `path` is that environment variable."""

    entrypoint: list[str]
    command: list[str]
    workdir: str
    user: str
    volumes: list[str]
    path: str


class _Found(NamedTuple):
    """Where in an image what an option names is, b"" where nobody can say, and why that does not do, or ""."""

    name: bytes
    why: str


def folders(path: str) -> list[bytes]:
    """Where scripts look for programs: in the image's PATH, if it sets that, and where they usually are."""
    return list(dict.fromkeys(os.fsencode(each) for each in f"{path}:{PATH}".split(":") if each))


def starting(root: str, whole: str, rules: list[str], start: dict[str, Any]) -> dict[str, Any]:
    """What options name that is not in `root` as it has to be; `whole` is the root that `rules` were applied to.

    `start` are the fields of `Start`. Returns {"unresolved": [row, ...], "hints": [text, ...]}: rows as in missing.py,
    of kind "option", and what to know of a user that is there.
    """
    said, top = Start(**start), os.fsencode(root)
    found = list(_all(top, said))
    unmet = [each for each in found if each[2].why]
    rows = []
    if unmet:
        missing, before = Missing(whole, rules), {option: there for option, _, there in _all(os.fsencode(whole), said)}
        for option, value, there in unmet:
            was = b"" if before[option].why else there.name or before[option].name
            rows.append(missing.row(option, "option", value, was, why="" if was else there.why))
    return {"unresolved": rows, "hints": [] if USER in (option for option, _, _ in unmet) else _hints(top, said)}


def _all(root: bytes, start: Start) -> Iterator[tuple[str, str, _Found]]:
    """The options that name something, their values and what that is."""
    if start.user:
        yield USER, start.user, _user(root, start.user)
    if start.workdir:
        found = follow(root, os.fsencode(start.workdir))
        is_there = found.mode is not None and stat.S_ISDIR(found.mode)
        why = "" if is_there or _is_mounted(found, start) else _ABSENT if found.mode is None else "it is no folder"
        yield "dockergen.workdir", start.workdir, _Found(found.name, why)
    if words := start.entrypoint or start.command:
        option = "dockergen.entrypoint" if start.entrypoint else "dockergen.command"
        yield option, words[0], _program(root, words[0], start)


def _user(root: bytes, text: str) -> _Found:
    """Whether the image has a user, and group; the name is that of the file that does not have it."""
    name, _, group = text.partition(":")
    for part, file in ((name, "passwd"), (f"0:{group or 0}", "group")):
        try:
            identity(os.fsdecode(root), part)
        except WorkerError:
            return _Found(b"etc/" + file.encode(), f"the image's /etc/{file} does not have it")
    return _Found(b"", "")


def _program(root: bytes, name: str, start: Start) -> _Found:
    """The program that an engine would start: by its path, or as execvp(3) finds it."""
    folders = [start.workdir or "/"] if "/" in name else (start.path or PATH).split(":")
    why = _ABSENT if "/" in name else f"{_ABSENT} in a folder of PATH ({':'.join(folders)})"
    refused = ""
    for folder in folders:
        found = follow(root, os.fsencode(os.path.join(folder, name)))
        if _is_mounted(found, start):
            return _Found(b"", "")
        if found.mode is not None:
            reason = _refused(root, found, start)
            if not reason:
                return _Found(found.name, "")
            refused = refused or reason
    return _Found(b"", refused or why)


def _is_mounted(found: Followed, start: Start) -> bool:
    """Whether what is not in the image may be where something is mounted when it runs."""
    places = [os.fsencode(volume).strip(b"/") + b"/" for volume in start.volumes]
    return found.mode is None and bool(MOUNTED.match(found.name) or (found.name + b"/").startswith(tuple(places)))


def _refused(root: bytes, found: Followed, start: Start) -> str:
    """Why the kernel would not execute this for the image's user (execve(2)); "" if it would."""
    if not stat.S_ISREG(found.mode or 0):
        return "it is no file"
    path = os.path.join(root, found.name)
    status = os.stat(path, follow_symlinks=False)
    owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else (0, 0)  # as in walk.py
    mode = stat.S_IMODE(status.st_mode)
    try:
        user = identity(os.fsdecode(root), start.user)
    except WorkerError:  # which is said elsewhere
        user = User(0, 0, [], "/")
    if not mode & _bits(user, owner):
        return f"its mode {mode:04o} (owner {owner[0]}:{owner[1]}) lets nobody execute it who is {start.user or 'root'}"
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            head = file.read(4)
    except PermissionError:
        return ""
    return "" if head.startswith((b"#!", MAGIC)) else "it begins with neither #! nor the header of an ELF file"


def _bits(user: User, owner: tuple[int, int]) -> int:
    """The permission bits of which one has to be there (capabilities(7), path_resolution(7))."""
    if user.uid == 0:
        return 0o111
    if user.uid == owner[0]:
        return 0o100
    return 0o010 if owner[1] in (user.gid, *user.groups) else 0o001


def _hints(root: bytes, start: Start) -> list[str]:
    if not start.user:
        return []
    user, said = identity(os.fsdecode(root), start.user), f"dockergen.user = {start.user}"
    name, _, group = start.user.partition(":")
    hints = []
    if user.uid and not name.isdigit():
        number = f"{user.uid}:{user.gid}" if group else f"{user.uid}"
        hints.append(_RUN_AS_NON_ROOT.format(said=said, number=number))
    if max(user.uid, user.gid) > MOST_ID:
        hints.append(_ROOTLESS.format(said=said, most=MOST_ID))
    return hints
