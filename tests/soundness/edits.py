"""Changes of files that can be taken back, every one of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path


class Edits:
    """Changes below a folder; `paths` are those that were changed, `revert` takes all of it back.

    What is reverted has its former content, mode and time of modification; not its inode and its time of change.
    """

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self._undo: list[Callable[[], object]] = []

    def write(self, path: Path, text: str) -> None:
        """Write a file, anew if it is there: as a sync does it, by another file of that name."""
        self._keep(path)
        _remove(path)
        path.write_text(text, encoding="utf-8")

    def write_in_place(self, path: Path, text: str) -> None:
        """Write into a file that is there, or into the one that a link leads to."""
        self._keep(path.resolve())
        self.paths.append(path)
        path.write_text(text, encoding="utf-8")

    def remove(self, path: Path) -> None:
        """Remove a file, a link, or a folder with all in it."""
        self._keep(path)
        _remove(path)

    def rename(self, path: Path, target: Path) -> None:
        """Rename; what is at `target` makes way."""
        self.paths.append(path)
        self._keep(target)
        _remove(target)
        path.rename(target)
        self._undo.append(lambda: target.rename(path))

    def link(self, path: Path, target: str) -> None:
        """Put a symbolic link at `path`."""
        self._keep(path)
        _remove(path)
        path.symlink_to(target)

    def touch(self, path: Path, when: int) -> None:
        """Give a file another time, in nanoseconds."""
        before = path.stat()
        self._undo.append(lambda: os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns)))
        os.utime(path, ns=(when, when))

    def mode(self, path: Path, mode: int) -> None:
        """Give a file another mode."""
        before = path.stat().st_mode
        self.paths.append(path)
        self._undo.append(lambda: path.chmod(before))
        path.chmod(mode)

    def revert(self) -> None:
        """Take everything back, the last first."""
        while self._undo:
            self._undo.pop()()
        self.paths.clear()

    def _keep(self, path: Path) -> None:
        """See to it that what is at `path` comes back; folders above it that are not there are made, and will go."""
        self.paths.append(path)
        for folder in reversed([parent for parent in path.parents if not parent.exists()]):
            folder.mkdir()
            self._undo.append(partial(shutil.rmtree, folder))
        if not os.path.lexists(path):
            self._undo.append(partial(_remove, path))
            return
        self._undo.append(_restorer(path))


def _restorer(path: Path) -> Callable[[], object]:
    """What brings back the file, link or folder that is at `path` now."""
    if path.is_symlink():
        return partial(_relink, path, path.readlink())
    if path.is_dir():
        return partial(_refill, path, [_restorer(entry) for entry in sorted(path.iterdir())])
    return partial(_rewrite, path, path.read_bytes(), path.stat())


def _relink(path: Path, target: Path) -> None:
    _remove(path)
    path.symlink_to(target)


def _refill(path: Path, inside: list[Callable[[], object]]) -> None:
    _remove(path)
    path.mkdir()
    for restore in inside:
        restore()


def _rewrite(path: Path, content: bytes, status: os.stat_result) -> None:
    _remove(path)
    path.write_bytes(content)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
