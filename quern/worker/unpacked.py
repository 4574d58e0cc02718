"""What is in a folder that a package was unpacked into and its phases have changed, to be moved into a root."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator

from .walk import CHUNK, Entry, walk, xattrs


class Unpacked:
    """A file, link or folder: its name below the folder `source`, type and mode, size, and a symlink's target."""

    def __init__(self, source: bytes, entry: Entry) -> None:
        self.name = entry.name
        self._path = os.path.join(source, entry.name)
        self._status = entry.status
        self.mode = entry.status.st_mode
        self.size = entry.status.st_size
        self.target = os.readlink(self._path) if stat.S_ISLNK(self.mode) else b""

    def put(self, path: bytes) -> bytes:
        """Move the file or link to `path`, and give it `mode`; returns the MD5 of a regular file's content, or nothing.

        Raises FileExistsError where something is already.
        """
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        if self.mode != self._status.st_mode:
            os.chmod(self._path, stat.S_IMODE(self.mode))
        os.rename(self._path, path)
        return md5(path) if stat.S_ISREG(self.mode) else b""

    def give(self, path: bytes) -> None:
        """Give another folder what this one has: owner, mode, attributes, times."""
        if os.geteuid() == 0:
            os.lchown(path, self._status.st_uid, self._status.st_gid)
        os.chmod(path, stat.S_IMODE(self.mode))
        for name, value in xattrs(self._path).items():
            os.setxattr(path, name, value)
        os.utime(path, ns=(self._status.st_mtime_ns, self._status.st_mtime_ns))


def unpacked(source: bytes) -> Iterator[Unpacked]:
    """What is in the folder `source`, each folder before its content."""
    return (Unpacked(source, entry) for entry in walk(source) if entry.name)


def md5(path: bytes) -> bytes:
    """The digest of a regular file that CONTENTS has (portage(5))."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest().encode()
