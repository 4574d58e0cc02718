"""Removes trees that others have made, one name at a time below a descriptor.

So no link is ever followed, folders may be nested deeper than a path can say (PATH_MAX) or Python can recurse, and
folders that an ordinary user has closed to himself are opened first.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
LONGEST = 4096  # bytes of a path in a message: PATH_MAX

Identity = tuple[int, int]  # device and inode


def remove_tree(path: bytes) -> None:
    """Remove a file, or a folder with all that is in it; nothing if nothing is there. Mounts are the caller's to check.

    Raises OSError with the name of what cannot be removed.
    """
    above, name = os.path.split(path.rstrip(b"/"))
    try:
        is_folder = stat.S_ISDIR(os.lstat(path.rstrip(b"/")).st_mode)
    except FileNotFoundError:
        return
    place = _Place(above or b".")
    try:
        if is_folder:
            _remove_folder(place, name)
        else:
            os.unlink(name, dir_fd=place.descriptor)
    except OSError as error:
        where = os.path.join(above, *place.way, os.fsencode(error.filename or b""))
        error.filename = os.path.normpath(where) if len(where) < LONGEST else path
        raise
    finally:
        place.close()


def _remove_folder(place: _Place, name: bytes) -> None:
    """Remove the folder `name` of `place`."""
    above: list[tuple[Identity, list[bytes]]] = []  # the folders on the way, and which of their folders are left
    left = [name]
    while left or above:
        if left:
            above.append((place.identity(), left))
            place.enter(left.pop())
            left = place.clear()
        else:
            identity, left = above.pop()
            place.leave(identity)


class _Place:
    """The folder that is at work on: a descriptor of it, and the names that lead there from the first one."""

    def __init__(self, path: bytes) -> None:
        self.descriptor = os.open(path, os.O_PATH | FOLDER)
        self.way: list[bytes] = []

    def close(self) -> None:
        os.close(self.descriptor)

    def identity(self) -> Identity:
        return _identity(self.descriptor)

    def enter(self, name: bytes) -> None:
        """Go to the folder `name` in this one, and make sure that it can be emptied."""
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | FOLDER, dir_fd=self.descriptor)
        self._go(handle)
        self.way.append(name)
        if os.fstat(handle).st_mode & 0o700 != 0o700:
            with suppress(PermissionError):
                os.chmod(f"/proc/self/fd/{handle}", 0o700)

    def clear(self) -> list[bytes]:
        """Remove everything in the folder but folders; returns their names."""
        self._go(os.open(b".", os.O_RDONLY | FOLDER, dir_fd=self.descriptor))
        with os.scandir(self.descriptor) as entries:
            found = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_folder in found:
            if not is_folder:
                os.unlink(name, dir_fd=self.descriptor)
        return [name for name, is_folder in found if is_folder]

    def leave(self, identity: Identity) -> None:
        """Go back to the folder above, if it is still the one with this identity, and remove the one that is left."""
        above = os.open(b"..", os.O_PATH | FOLDER, dir_fd=self.descriptor)
        self._go(above)
        name = self.way.pop()
        if _identity(above) != identity:
            raise OSError(errno.ESTALE, "it was moved while it was removed", name)
        os.rmdir(name, dir_fd=above)

    def _go(self, descriptor: int) -> None:
        os.close(self.descriptor)
        self.descriptor = descriptor


def _identity(descriptor: int) -> Identity:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
