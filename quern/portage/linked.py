"""The shared libraries that programs of this machine load when they start: ld.so(8), as far as the files say it.

What a program does depends on them as well. They are looked up anew when a program or the loader's cache, which
ldconfig(8) writes whenever libraries are installed, is another file than before.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from quern.worker import elf, loader
from quern.worker.loader import Loaded

CACHE = "/etc/ld.so.cache"


class Linked:
    """The libraries of programs, of which the file `known` may have some from an earlier run (see `write`)."""

    def __init__(self, known: Path) -> None:
        self._found: dict[str, list[str]] = {}
        self._state = _state(CACHE)
        try:
            data = json.loads(known.read_bytes())
            if data["cache"] == self._state:
                self._found = {str(key): [str(path) for path in paths] for key, paths in data["found"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # it is not there, or was damaged

    def of(self, programs: Iterable[str]) -> set[str]:
        """The libraries that these programs load, and their loaders; none of a script. All are real paths."""
        found: set[str] = set()
        for program in programs:
            key = f"{program} {_state(program)}"
            if key not in self._found:
                self._found[key] = sorted(map(os.fsdecode, _libraries(program)))
            found.update(self._found[key])
        return found

    def write(self, known: Path) -> None:
        """Keep what was found."""
        known.write_text(json.dumps({"cache": self._state, "found": self._found}, indent=1), encoding="utf-8")


def _state(path: str) -> list[int]:
    """What tells a file from another one in its place: its inode, size in bytes and time; empty if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _libraries(program: str) -> set[bytes]:
    """The real paths of what a program loads, breadth first, as its loader does."""
    name = os.fsencode(program)
    read = _read(name)
    if read is None or not read.interpreter:
        return set()
    by = _loader(read.interpreter)
    found = {os.path.realpath(read.interpreter)}
    names, pending = {by.name}, deque([Loaded(name, read)])
    while pending:
        item = pending.popleft()
        for needed in item.elf.needed:
            if needed in names or (by.is_musl and loader.OF_MUSL.match(needed)):
                continue
            names.add(needed)
            folders = [b""] if b"/" in needed else loader.folders(item, by, b"")
            for path in (os.path.join(folder, loader.expanded(needed, item, by)) for folder in folders):
                library = _read(path)
                if library and library.kind == read.kind:
                    found.add(os.path.realpath(path))
                    pending.append(Loaded(path, library, item))
                    break
    return found


@cache
def _loader(interpreter: bytes) -> loader.Loader:
    return loader.loader_of(b"/", interpreter)


def _read(path: bytes) -> elf.Elf | None:
    """A program or library; None if it is none, or is not there."""
    try:
        with open(path, "rb") as file:
            return elf.read(file)
    except OSError:
        return None
