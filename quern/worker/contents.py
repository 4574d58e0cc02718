"""What packages install, moved from where it was unpacked into a root that began empty (PMS chapter 13).

    unpacked/usr/lib/libz.so.1  ──rename──▶  root/usr/lib/libz.so.1      and a line of CONTENTS

A folder goes onto a folder, or onto a link to a folder, which is followed inside the root. Nothing is overwritten that
another package owns, and nothing is renamed out of the way: what does not fit is an error that names both.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Iterable

from . import WorkerError
from .links import follow
from .mask import InstallMask
from .walk import xattrs

KEEP = b".keep_"  # how the markers of keepdir begin (PMS 12.3.9)


class Contents:
    """The content of the folder `root`, and which package has brought it.

    `shared` are patterns of files that several packages may install (COLLISION_IGNORE, make.conf(5)); with `sfperms`,
    nobody but its owner may read a set-id program (FEATURES=sfperms there). `owners` has the package of each file by
    its real name below the root.
    """

    def __init__(self, root: str, shared: Iterable[str] = (), sfperms: bool = False) -> None:
        self.root = os.fsencode(root)
        self.shared = tuple(shared)
        self.sfperms = sfperms
        self.owners: dict[bytes, str] = {}
        self._folders: dict[bytes, bytes] = {b"": b""}

    def place(self, source: str, cpv: str, mask: InstallMask, epoch: int) -> bytes:
        """Move what is in the folder `source` into the root; returns the package's CONTENTS (portage(5)).

        Times in there are `epoch`, in seconds. Raises WorkerError where something is in the way.
        """
        package = _Placing(self, os.fsencode(source), cpv, mask, epoch)
        self._folders = {b"": b""}  # a phase may have replaced a folder since
        package.folder(b"")
        return b"".join(sorted(package.lines))

    def real(self, folder: bytes) -> bytes:
        """The real name of a folder that is in the root."""
        if folder not in self._folders:
            found = follow(self.root, folder)
            if found.mode is None or not stat.S_ISDIR(found.mode):
                raise WorkerError(f"/{_text(folder)} is no folder")
            self._folders[folder] = found.name
        return self._folders[folder]

    def may_share(self, name: bytes) -> bool:
        """Whether several packages may install the file `name`."""
        return any(fnmatch.fnmatch(f"/{os.fsdecode(name)}", pattern) for pattern in self.shared)


class _Placing:
    """One package, being moved from `source`; `lines` are those of its CONTENTS."""

    def __init__(self, contents: Contents, source: bytes, cpv: str, mask: InstallMask, epoch: int) -> None:
        self.contents = contents
        self.source = source
        self.cpv = cpv
        self.mask = mask
        self.epoch = epoch
        self.lines: list[bytes] = []
        self._firsts: dict[tuple[int, int], bytes] = {}

    def folder(self, name: bytes) -> None:
        """Move what is in one folder of the package, which is in the root already."""
        with os.scandir(os.path.join(self.source, name)) as entries:
            names = sorted(entry.name for entry in entries)
        for child in names:
            self._one(os.path.join(name, child))

    def _one(self, name: bytes) -> None:
        path = os.path.join(self.source, name)
        status = os.lstat(path)
        self._check_name(name)
        if stat.S_ISDIR(status.st_mode):
            self._folder(name, path, status)
        elif self.mask.matches(name):
            return
        elif stat.S_ISLNK(status.st_mode):
            target = os.readlink(path)
            self._check_name(target, name)
            self._move(name, path, status)
            self.lines.append(b"sym /%s -> %s %d\n" % (name, target, self.epoch))
        elif stat.S_ISREG(status.st_mode):
            if os.path.basename(name).startswith(KEEP) and not status.st_size:
                return  # an image has no package manager that would prune empty folders
            digest = _md5(path)
            if self.contents.sfperms:
                _hide_set_id(path, status)
            self._move(name, path, status)
            self.lines.append(b"obj /%s %s %d\n" % (name, digest, self.epoch))
        else:
            self._move(name, path, status)
            self.lines.append(b"%s /%s\n" % (b"fif" if stat.S_ISFIFO(status.st_mode) else b"dev", name))

    def _folder(self, name: bytes, path: bytes, status: os.stat_result) -> None:
        masked = self.mask.matches(name + b"/")
        target = self._target(name)
        found = follow(self.contents.root, target)
        is_new = found.mode is None and found.name == target
        if not is_new and (found.mode is None or not stat.S_ISDIR(found.mode)):
            raise self._in_the_way(name, "a folder", target)
        where = os.path.join(self.contents.root, target)
        if is_new:
            os.mkdir(where, 0o700)  # ours until its content is there: an ordinary user cannot write into 0555
        lines = len(self.lines)
        self.folder(name)
        if masked and len(self.lines) == lines:
            if is_new:
                os.rmdir(where)
            return
        if is_new:
            _give(path, where, status)
        self.lines.append(b"dir /%s\n" % name)

    def _move(self, name: bytes, path: bytes, status: os.stat_result) -> None:
        target = self._target(name)
        where = os.path.join(self.contents.root, target)
        there = _lstat(where)
        if there is not None:
            if stat.S_ISDIR(there.st_mode):
                raise self._in_the_way(name, "a link" if stat.S_ISLNK(status.st_mode) else "a file", target)
            owner = self.contents.owners.get(target)
            if owner == self.cpv and not _same(path, where):
                raise WorkerError(f"{self.cpv} installs two different files as /{_text(target)}, one as /{_text(name)}")
            if owner not in (None, self.cpv) and not self.contents.may_share(target):
                shared = f"/{_text(target)} belongs to two packages: {owner} and {self.cpv}"
                raise WorkerError(f"{shared}; leave it out of one of them")
        os.rename(path, where)
        self.contents.owners[target] = self.cpv

    def _target(self, name: bytes) -> bytes:
        """Where in the root `name` goes; of the path only its last part may be missing."""
        return os.path.join(self.contents.real(os.path.dirname(name)), os.path.basename(name))

    def _in_the_way(self, name: bytes, kind: str, target: bytes) -> WorkerError:
        there = _lstat(os.path.join(self.contents.root, target))
        mode = there.st_mode if there else 0
        what = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "a file"
        owner = self.contents.owners.get(target) or "another package"
        return WorkerError(f"{self.cpv} installs {kind} as /{_text(name)}, where {what} of {owner} is already")

    def _check_name(self, name: bytes, of: bytes = b"") -> None:
        """Raise WorkerError for what CONTENTS cannot hold; emerge refuses such a name or changes it."""
        try:
            text = name.decode()
        except UnicodeDecodeError:
            text = "\n"
        if "\n" in text or "\r" in text:
            what = f"the link /{_text(of)} to {os.fsdecode(name)!r}" if of else f"{os.fsdecode(b'/' + name)!r}"
            raise WorkerError(f"{self.cpv} installs {what}: expected UTF-8 without line breaks")


def _hide_set_id(path: bytes, status: os.stat_result) -> None:
    """Take from others what they need to read a program that runs with its owner's or group's rights."""
    set_user, set_group = status.st_mode & stat.S_ISUID, status.st_mode & stat.S_ISGID
    if set_user or set_group:
        hidden = stat.S_IROTH | (stat.S_IRGRP if not set_group else 0)
        os.chmod(path, stat.S_IMODE(status.st_mode) & ~hidden)


def _give(path: bytes, where: bytes, status: os.stat_result) -> None:
    """Give a new folder what the package's own has: owner, mode, attributes, times."""
    if os.geteuid() == 0:
        os.lchown(where, status.st_uid, status.st_gid)
    os.chmod(where, stat.S_IMODE(status.st_mode))
    for name, value in xattrs(path).items():
        os.setxattr(where, name, value)
    os.utime(where, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _same(one: bytes, other: bytes) -> bool:
    """Whether two files of a package that have one real name are the same."""
    first, second = os.lstat(one), os.lstat(other)
    if (first.st_mode, first.st_uid, first.st_gid, first.st_size) != (
        second.st_mode, second.st_uid, second.st_gid, second.st_size,
    ):  # fmt: skip
        return False
    if stat.S_ISLNK(first.st_mode):
        return os.readlink(one) == os.readlink(other)
    return not stat.S_ISREG(first.st_mode) or _md5(one) == _md5(other)


def _md5(path: bytes) -> bytes:
    """The digest that CONTENTS has."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest().encode()


def _lstat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
