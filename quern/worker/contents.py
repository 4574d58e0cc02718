"""What packages install, put into a root that began empty (PMS chapter 13).

    items of a package  ──put──▶  root/usr/lib/libz.so.1      and a line of CONTENTS

A folder goes onto a folder, or onto a link to a folder, which is followed inside the root. Nothing is overwritten that
another package owns, and nothing is renamed out of the way: what does not fit is an error that names both.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable
from typing import Protocol

from . import WorkerError
from .links import follow
from .mask import InstallMask
from .unpacked import md5

KEEP = b".keep_"  # how the markers of keepdir begin (PMS 12.3.9)


class Item(Protocol):
    """Something that a package installs: its name below the root, type and mode, size, and a symlink's target.

    `put` brings it to a path, with `mode`, and returns the MD5 of a regular file; where something is already, it raises
    FileExistsError. `give` gives a folder its owner, mode, attributes and times.
    """

    name: bytes
    mode: int
    size: int
    target: bytes

    def put(self, path: bytes) -> bytes: ...

    def give(self, path: bytes) -> None: ...


class Contents:
    """The content of the folder `root`, and which package has brought it.

    `spare` is a folder for files that are compared with what is in the root. `shared` are patterns of files that
    several packages may install (COLLISION_IGNORE, make.conf(5)); with `sfperms`, nobody but its owner may read a
    set-id program (FEATURES=sfperms there). `owners` has the package of each file by its real name below the root.
    """

    def __init__(self, root: str, spare: str, shared: Iterable[str] = (), sfperms: bool = False) -> None:
        self.root = os.fsencode(root)
        self.spare = os.fsencode(spare)
        self.shared = tuple(shared)
        self.sfperms = sfperms
        self.owners: dict[bytes, str] = {}
        self.folders: dict[bytes, bytes] = {b"": b""}

    def place(self, items: Iterable[Item], cpv: str, mask: InstallMask, epoch: int) -> bytes:
        """Put the items of a package, each folder before its content, into the root; returns its CONTENTS (portage(5)).

        Times in there are `epoch`, in seconds. Raises WorkerError where something is in the way.
        """
        package = _Placing(self, cpv, mask, epoch)
        self.folders = {b"": b""}  # a phase may have replaced a folder since
        for item in items:
            package.one(item)
        package.finish_folders()
        for name in os.listdir(self.spare):
            os.unlink(os.path.join(self.spare, name))
        return b"".join(sorted(package.lines))

    def real(self, folder: bytes) -> bytes:
        """The real name of a folder that is in the root."""
        if folder not in self.folders:
            name = os.path.join(self.real(os.path.dirname(folder)), os.path.basename(folder))
            found = follow(self.root, name)
            if found.mode is None or not stat.S_ISDIR(found.mode):
                raise WorkerError(f"/{_text(folder)} is no folder")
            self.folders[folder] = found.name
        return self.folders[folder]

    def may_share(self, name: bytes) -> bool:
        """Whether several packages may install the file `name`."""
        return any(fnmatch.fnmatch(f"/{os.fsdecode(name)}", pattern) for pattern in self.shared)


class _Placing:
    """One package, being put into the root; `lines` are those of its CONTENTS."""

    def __init__(self, contents: Contents, cpv: str, mask: InstallMask, epoch: int) -> None:
        self.contents = contents
        self.cpv = cpv
        self.mask = mask
        self.epoch = epoch
        self.lines: list[bytes] = []
        self._folders: list[tuple[Item, bytes | None]] = []  # with the path of those that are new
        self._filled: set[bytes] = set()  # folders with something in them

    def one(self, item: Item) -> None:
        """Put one item into the root, unless it is masked."""
        self._check_name(item.name)
        if stat.S_ISDIR(item.mode):
            self._folder(item)
        elif not self.mask.matches(item.name) and (line := self._file(item)):
            self.lines.append(line)
            self._filled.add(os.path.dirname(item.name))

    def _folder(self, item: Item) -> None:
        target = self._target(item.name)
        where = os.path.join(self.contents.root, target)
        try:
            os.mkdir(where, 0o700)  # ours until its content is there: an ordinary user cannot write into 0555
        except FileExistsError:
            found = follow(self.contents.root, target)
            if found.mode is None or not stat.S_ISDIR(found.mode):
                raise self._in_the_way(item.name, "a folder", target) from None
            self.contents.folders[item.name] = found.name
            self._folders.append((item, None))
        else:
            self.contents.folders[item.name] = target
            self._folders.append((item, where))

    def finish_folders(self) -> None:
        """Give the new folders what the package's own have; remove those that are masked and empty."""
        for item, new in reversed(self._folders):
            if self.mask.matches(item.name + b"/") and item.name not in self._filled:
                if new:
                    os.rmdir(new)
                continue
            if new:
                item.give(new)
            self.lines.append(b"dir /%s\n" % item.name)
            self._filled.add(os.path.dirname(item.name))

    def _file(self, item: Item) -> bytes:
        """Put what is no folder into the root; returns its line of CONTENTS, nothing for what is left out."""
        name, kind = item.name, stat.S_IFMT(item.mode)
        if kind == stat.S_IFLNK:
            self._check_name(item.target, name)
            self._put(item)
            return b"sym /%s -> %s %d\n" % (name, item.target, self.epoch)
        if kind != stat.S_IFREG:
            self._put(item)
            return b"%s /%s\n" % (b"fif" if kind == stat.S_IFIFO else b"dev", name)
        if os.path.basename(name).startswith(KEEP) and not item.size:
            return b""  # an image has no package manager that would prune empty folders
        if self.contents.sfperms:
            item.mode = _hidden(item.mode)
        return b"obj /%s %s %d\n" % (name, self._put(item), self.epoch)

    def _put(self, item: Item) -> bytes:
        target = self._target(item.name)
        where = os.path.join(self.contents.root, target)
        try:
            digest = item.put(where)
        except FileExistsError:
            digest = self._replace(item, target, where)
        self.contents.owners[target] = self.cpv
        return digest

    def _replace(self, item: Item, target: bytes, where: bytes) -> bytes:
        """Put an item in the place of something that may be replaced."""
        if stat.S_ISDIR(os.lstat(where).st_mode):
            raise self._in_the_way(item.name, "a link" if stat.S_ISLNK(item.mode) else "a file", target)
        owner = self.contents.owners.get(target)
        if owner not in (None, self.cpv) and not self.contents.may_share(target):
            shared = f"/{_text(target)} belongs to two packages: {owner} and {self.cpv}"
            raise WorkerError(f"{shared}; leave it out of one of them")
        new = os.path.join(self.contents.spare, b"new-%d" % len(self.lines))
        digest = item.put(new)
        if owner == self.cpv and not _same(new, where):
            text = f"{self.cpv} installs two different files as /{_text(target)}, one as /{_text(item.name)}"
            raise WorkerError(text)
        os.unlink(where)
        os.link(new, where, follow_symlinks=False)  # and no rename: a hard link to it may follow
        return digest

    def _target(self, name: bytes) -> bytes:
        """Where in the root `name` goes; of the path only its last part may be missing."""
        return os.path.join(self.contents.real(os.path.dirname(name)), os.path.basename(name))

    def _in_the_way(self, name: bytes, kind: str, target: bytes) -> WorkerError:
        mode = os.lstat(os.path.join(self.contents.root, target)).st_mode
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


def _hidden(mode: int) -> int:
    """The mode of a program without what others need to read it, if it runs with its owner's or group's rights."""
    if mode & stat.S_ISGID:
        return mode & ~stat.S_IROTH
    return mode & ~(stat.S_IROTH | stat.S_IRGRP) if mode & stat.S_ISUID else mode


def _same(one: bytes, other: bytes) -> bool:
    """Whether two files of a package that have one real name are the same."""
    first, second = os.lstat(one), os.lstat(other)
    if (first.st_mode, first.st_uid, first.st_gid, first.st_size) != (
        second.st_mode, second.st_uid, second.st_gid, second.st_size,
    ):  # fmt: skip
        return False
    if stat.S_ISLNK(first.st_mode):
        return os.readlink(one) == os.readlink(other)
    return not stat.S_ISREG(first.st_mode) or md5(one) == md5(other)


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
