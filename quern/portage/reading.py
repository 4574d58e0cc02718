"""The files of repositories and profiles, which others wrote: what is none is refused, by its name."""

from __future__ import annotations

from pathlib import Path

from quern.errors import RepositoryError, display
from quern.worker.special import instead


def content(path: Path) -> bytes:
    """The bytes of a file. Raises RepositoryError where something else is in its place, OSError as reading does."""
    _check(path)
    return path.read_bytes()


def text(path: Path) -> str:
    """The text of a file; bytes that are no UTF-8 do not matter. Raises like `content`."""
    _check(path)
    return path.read_text(encoding="utf-8", errors="replace")


def _check(path: Path) -> None:
    if kind := instead(path):
        raise RepositoryError(f"{display(path)}: expected a file, got {kind}")
