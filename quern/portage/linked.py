"""The shared libraries that programs of this machine load when they start: ld.so(8), as far as the files say it.

What a program does depends on them as well. What was found is looked up anew when the program is another file, a
library is another one or gone, or the loader's cache, which ldconfig(8) writes, names others for these libraries.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from quern.worker import elf, loader
from quern.worker.loader import Loaded

CACHE = "/etc/ld.so.cache"

Found = dict[str, dict[str, str]]  # by program and its state: real paths, by the path at which a library was found


class Linked:
    """The libraries of programs, of which the file `known` may have some from an earlier run (see `write`)."""

    def __init__(self, known: Path) -> None:
        self._found: Found = {}
        self._real: dict[str, str] = {}
        try:
            data = json.loads(known.read_bytes())
            if data["cache"] == _state(CACHE) or data["listed"] == _listed(data["found"]):
                self._found = {str(key): dict(row) for key, row in data["found"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # it is not there, or was damaged

    def of(self, programs: Iterable[str]) -> set[str]:
        """The libraries that these programs load, and their loaders; none of a script. All are real paths."""
        found: set[str] = set()
        for program in programs:
            key = f"{program} {_state(program)}"
            if key not in self._found or not all(self._is_there(*each) for each in self._found[key].items()):
                self._found[key] = _libraries(program)
            found.update(self._found[key].values())
        return found

    def write(self, known: Path) -> None:
        """Keep what was found."""
        data = {"cache": _state(CACHE), "listed": _listed(self._found), "found": self._found}
        known.write_text(json.dumps(data, indent=1), encoding="utf-8")

    def _is_there(self, name: str, real: str) -> bool:
        """Whether a path leads to where it did; each is looked at once."""
        if name not in self._real:
            self._real[name] = os.path.realpath(name) if os.path.exists(name) else ""
        return self._real[name] == real


def _state(path: str) -> list[int]:
    """What tells a file from another one in its place: its inode, size in bytes and time; empty if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _listed(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What the loader's cache has, in order, of libraries with the names of those found."""
    names = {os.path.basename(name) for row in found.values() for name in row}
    try:
        content = Path(CACHE).read_bytes()
    except OSError:
        return []
    paths = map(os.fsdecode, re.findall(rb"\0(/[^\0]*)(?=\0)", content))
    return [path for path in paths if os.path.basename(path) in names]


def _libraries(program: str) -> dict[str, str]:
    """The real paths of what a program loads, breadth first, as its loader does, by the path that is looked at."""
    name = os.fsencode(program)
    read = _read(name)
    if read is None or not read.interpreter:
        return {}
    by = _loader(read.interpreter)
    found = [read.interpreter]
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
                    found.append(path)
                    pending.append(Loaded(path, library, item))
                    break
    return {os.fsdecode(path): os.fsdecode(os.path.realpath(path)) for path in found}


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
