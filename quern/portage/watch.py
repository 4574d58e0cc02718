"""The watch set: the files of the repositories that an image depends on, and whether they still are what they were.

Gentoo's tree has 170,000 files and an image depends on a few hundred of them, some of which are not there: a newer
version, an overlay's package, a mask would change it too. The resolver says what it asked for; the profile and what
the planned packages are built from are added. While none of that changes, neither can the plan.

The record is read at every run, so it is stat-first: content is read again only where time, size or inode changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any, NamedTuple

FORMAT = 1
RACY = 2_000_000_000  # nanoseconds in which a second change may leave the same times (a tick, or FAT's two seconds)

Stat = list[int]


class Seen(NamedTuple):
    """What is at a path: `stat` None where times cannot be trusted, `content` empty where there is nothing."""

    stat: Stat | None
    content: str


def look(paths: Iterable[str]) -> dict[str, Seen]:
    """What is at each of the paths now."""
    return {path: Seen(_stat(path), _content(path)) for path in sorted(set(paths))}


def is_newer(seen: dict[str, Seen], start: int) -> bool:
    """Whether anything that was seen may have been changed since `start` (nanoseconds, of the file system's clock)."""
    return any(each.stat and _changed(each.stat) >= start for each in seen.values())


def write(record: Path, seen: dict[str, Seen], now: int) -> str:
    """Write down what was seen, at `now` (nanoseconds, of the file system's clock); returns its digest."""
    rows = [[path, each.content, _trusted(each.stat, now)] for path, each in seen.items()]
    digest = _digest((path, each.content) for path, each in seen.items())
    record.write_text(json.dumps({"format": FORMAT, "digest": digest, "watched": rows}, indent=0))
    return digest


def digest(record: Path) -> str:
    """The digest of what is now at the paths of a record: the recorded one while nothing has changed.

    Empty where there is no record.
    """
    data = _read(record)
    if data is None:
        return ""
    now = {path: _content(path) for path, _, stat in data["watched"] if stat is None or stat != _stat(path)}
    if not now:
        return str(data["digest"])
    return _digest((path, now.get(path, content)) for path, content, _ in data["watched"])


def changes(record: Path) -> list[str]:
    """The paths of a record at which now is something else, sorted."""
    data = _read(record) or {"watched": []}
    suspects = [(path, content) for path, content, stat in data["watched"] if stat is None or stat != _stat(path)]
    return [path for path, content in suspects if content != _content(path)]


def tree(folder: str) -> list[str]:
    """The paths of a folder and of everything below it, behind links too; only its own if it is not there."""
    paths, above = [folder], {""}
    for current, folders, names in os.walk(folder, followlinks=True):
        paths += [os.path.join(current, name) for name in (*folders, *names)]
        real = os.path.realpath(current)
        if real in above:  # a link to a folder that it is in, or that was here before
            folders.clear()
        above.add(real)
    return paths


def _read(record: Path) -> Any:  # noqa: ANN401 (JSON)
    try:
        data = json.loads(record.read_bytes())
        whole = all(isinstance(path, str) and isinstance(content, str) for path, content, _ in data["watched"])
        return data if whole and data["format"] == FORMAT and data["digest"] and data["watched"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _trusted(stat: Stat | None, now: int) -> Stat | None:
    """A stat, unless a change right after it might leave it the same."""
    return stat if not stat or _changed(stat) < now - RACY else None


def _stat(path: str) -> Stat:
    """What a change alters: of a folder, that of its names; of a link, itself too. Nothing where there is nothing."""
    try:
        status = os.lstat(path)
        link = _times(status) if S_ISLNK(status.st_mode) else []
    except OSError:
        return []
    try:
        return [*link, *_times(os.stat(path) if link else status)]
    except OSError:
        return link


def _times(status: os.stat_result) -> Stat:
    return [status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino]


def _changed(stat: Stat) -> int:
    """When what has this stat was changed (nanoseconds); of a link, the later of itself and what it leads to."""
    return max(stat[1::4])


def _content(path: str) -> str:
    """What Portage would read: a link's text, a file's content and executable bit, the names in a folder."""
    link = f"l {os.readlink(path)} " if os.path.islink(path) else ""
    try:
        mode = os.stat(path).st_mode
        if S_ISDIR(mode):
            names = "\0".join(sorted(os.listdir(path)))
            return f"{link}d {hashlib.sha256(names.encode(errors='surrogateescape')).hexdigest()}"
        if not S_ISREG(mode):
            return f"{link}other"  # a pipe would have us wait
        with open(path, "rb") as file:
            return f"{link}{'x' if mode & 0o111 else '-'} {hashlib.sha256(file.read()).hexdigest()}"
    except OSError:
        return link


def _digest(rows: Iterable[tuple[str, str]]) -> str:
    value = hashlib.sha256()
    for path, content in rows:
        value.update(f"{path}\0{content}\0".encode(errors="surrogateescape"))
    return "sha256:" + value.hexdigest()
