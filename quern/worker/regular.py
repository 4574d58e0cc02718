"""Reads files that a build may have written: it may have put a pipe there, a link, a device or a file without end."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import BinaryIO, Union

from .special import KINDS

Name = Union[str, "os.PathLike[str]"]

LIMIT = 256 << 20  # bytes; the index of Gentoo's own binhost has 50 MB


def opened(path: Name) -> BinaryIO:
    """Open a regular file to be read. Raises OSError, EEXIST where something else is in its place."""
    return _checked(path, os.O_RDONLY)


def opened_below(folder: Name, name: str) -> BinaryIO:
    """Open the regular file `name`, a relative path, if neither it nor a folder on the way is a link or `..`."""
    *folders, last = name.split("/")
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in folders:
            if each in ("", ".."):
                raise _refused(os.path.join(folder, name), "a file elsewhere")
            above, flags = descriptor, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(each, flags, dir_fd=above)
            os.close(above)
        return _checked(last, os.O_RDONLY, descriptor)
    finally:
        os.close(descriptor)


def content(path: Name, limit: int = LIMIT) -> bytes:
    """The bytes of a regular file, of which there may be `limit`. Raises OSError."""
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"expected a file of no more than {limit >> 20} MiB", os.fspath(path))
        return file.read(limit)


def text(path: Name, limit: int = LIMIT) -> str:
    """The text of a regular file; bytes that are no UTF-8 do not matter. Raises OSError."""
    return content(path, limit).decode(errors="replace")


def end(path: Name, size: int) -> bytes:
    """The last bytes of a regular file, up to `size`. Raises OSError."""
    with opened(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - size))
        return file.read(size)


def append(path: Name, line: str) -> None:
    """Add to a regular file, in one write, or make it. Raises OSError."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
    with _checked(path, os.O_WRONLY | os.O_APPEND) as file:
        file.write(line.encode())


def _checked(path: Name, flags: int, folder: int | None = None) -> BinaryIO:
    """Open a file when it is known to be regular: to open some devices is to have them do something."""
    handle = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        kind = stat.S_IFMT(os.fstat(handle).st_mode)
        if kind != stat.S_IFREG:
            raise _refused(path, KINDS.get(kind, "something else"))
        descriptor = os.open(f"/proc/self/fd/{handle}", flags | os.O_CLOEXEC)
    except PermissionError as error:
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(handle)
    return os.fdopen(descriptor, "ab" if flags & os.O_APPEND else "rb")


def _refused(path: Name, found: str) -> OSError:
    return OSError(errno.EEXIST, f"expected a file, got {found}", os.fspath(path))
