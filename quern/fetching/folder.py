"""The folder of sources: a file is written under a name of its own, and gets its name when it is whole and checked.

    NAME.__download__           what is not whole yet; locked by who writes it, kept when that ends
    NAME
    NAME._checksum_failure_.*   was called NAME, and is not what the Manifest describes (Portage's way to call it)
    .quern-fetched              what quern has fetched, a line each: inode, mtime (nanoseconds), name

Others may write in this folder too. Nothing in it leads us out of it: no link is written through, no second name of a
file elsewhere is written to.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from quern.errors import BuildError, display
from quern.fetching.manifest import BLOCK, Check, Expected
from quern.worker import regular

PARTIAL = ".__download__"
RECORD = ".quern-fetched"  # what quern has not fetched it may not remove either, see `doit prune`
ASIDE = "._checksum_failure_."


class Partial:
    """The beginning of a source file, ours alone as long as this is open; `check` knows the bytes that are there.

    `wait` is called again and again while another process has it; it may raise to give up.
    """

    def __init__(self, folder: Path, name: str, file: Expected, wait: Callable[[], None]) -> None:
        self.path, self._target, self._expected = folder / (name + PARTIAL), folder / name, file
        self._descriptor = self._lock(wait)
        self.check = Check(file)
        try:
            self._read()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Partial:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.size and _is_at(self.path, self._descriptor):  # an empty file is not worth keeping
            self.path.unlink()
        os.close(self._descriptor)

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self.check.size

    def write(self, data: bytes) -> None:
        """Add bytes. Raises OSError with the file's name."""
        self.check.update(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            error.filename = str(self.path)
            raise

    def clear(self) -> None:
        """Begin anew."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.check = Check(self._expected)

    def finish(self) -> Path | None:
        """Give the file its name; returns the new name of another one that was there.

        Its mode is the same for every umask: what an ebuild copies of it keeps that.
        Neither is synced to disk: every build compares the sources with their Manifest.
        """
        aside = None
        if os.path.lexists(self._target):
            aside = self._target.with_name(f"{self._target.name}{ASIDE}{secrets.token_hex(4)}")
            self._target.rename(aside)
        with suppress(OSError):  # of a file system without modes
            os.fchmod(self._descriptor, 0o644)
        self.path.rename(self._target)
        made = os.fstat(self._descriptor)
        with suppress(OSError):  # without a record it is never removed
            regular.append(self._target.with_name(RECORD), f"{made.st_ino} {made.st_mtime_ns} {self._target.name}\n")
        return aside

    def _lock(self, wait: Callable[[], None]) -> int:
        while True:
            descriptor = self._open()
            is_ours = _try_lock(descriptor)
            if is_ours and _is_at(self.path, descriptor):  # else whoever had it has finished it
                return descriptor
            os.close(descriptor)
            if not is_ours:
                wait()

    def _open(self) -> int:
        """Open the file, or a new one; a link, or another name of a file elsewhere, is removed first."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        while True:
            with suppress(FileNotFoundError):
                state = self.path.lstat()
                if stat.S_ISDIR(state.st_mode):
                    raise BuildError(f"{display(self.path)}: expected a file, got a folder; remove it")
                if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
                    self.path.unlink()
            try:
                descriptor = os.open(self.path, flags, 0o644)
            except OSError as error:
                if error.errno == errno.ELOOP:  # somebody has just put a link there
                    continue
                raise
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode) and found.st_nlink <= 1:
                return descriptor
            os.close(descriptor)

    def _read(self) -> None:
        """Take what is there; of more than the file has nothing is of use."""
        if os.fstat(self._descriptor).st_size > self._expected.size:
            self.clear()
        while block := os.read(self._descriptor, BLOCK):
            self.check.update(block)


def partial_size(folder: Path, name: str) -> int:
    """How many bytes of a source there are, of one that is not whole."""
    with suppress(OSError):
        return (folder / (name + PARTIAL)).lstat().st_size
    return 0


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False
