"""One writer per folder: a lock file held with flock(2), naming its holder for those who wait.

The kernel gives the lock back when the holder dies, however it dies, so there is no stale lock to recognise.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, say: Callable[[str], None], shared: bool = False) -> Iterator[None]:
    """Hold the lock at `path`, alone or `shared` with others that do; while it cannot be had, say once why and wait."""
    descriptor = _take(path, say, shared)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process, this one included, has the lock at `path` now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(path: Path, say: Callable[[str], None], shared: bool) -> int:
    """A descriptor that has the lock. Its holder may have removed the file: then there is a new one, or none yet."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        descriptor = _open(path)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another run"
                say(f"Waiting for {holder} ({path})")
                fcntl.flock(descriptor, kind)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _open(path: Path) -> int:
    while True:
        try:
            os.makedirs(path.parent, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (FileExistsError, FileNotFoundError):
            if _is_in_the_way(path.parent):
                raise  # otherwise the folder was removed in between


def _is_in_the_way(folder: Path) -> bool:
    """Whether something else is where the folder should be; looked at once, because others make and remove it."""
    try:
        return not stat.S_ISDIR(os.stat(folder).st_mode)
    except FileNotFoundError:
        return folder.is_symlink()  # one that leads nowhere
