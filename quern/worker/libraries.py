"""Which libraries the programs of an image find, as their loaders would look for them (see loader.py)."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from . import loader
from .elf import Elf
from .links import follow, real_folder
from .loader import Loaded, Loader

Kind = tuple[int, int, int]


class Missing(NamedTuple):
    """A library that `file` needs and that is not where the loader of `program` looks: `folders`."""

    file: bytes
    library: bytes
    program: bytes
    folders: tuple[bytes, ...]


class Libraries:
    """What each file finds (`found`, by the file and the name it needs), and what not (`missing`).

    `elves` are all programs and libraries below `root`, `links` the links to them, each with the real name of what it
    leads to; names are those of real folders below the root.
    """

    def __init__(self, root: bytes, elves: Mapping[bytes, Elf], links: Mapping[bytes, bytes], path: bytes) -> None:
        self._root = root
        self._elves = elves
        self._path = path
        self._places = {os.path.split(name): name for name in elves}
        self._places.update((os.path.split(name), target) for name, target in links.items())
        self._folders: dict[bytes, bytes | None] = {}
        self._holders: dict[tuple[Kind, bytes], list[bytes]] = {}
        for name, target in [*sorted((name, name) for name in elves), *sorted(links.items())]:
            self._holders.setdefault((elves[target].kind, os.path.basename(name)), []).append(name)
        self._with_musl = {kind for kind, base in self._holders if base.startswith(b"ld-musl-")}
        self._loaders: dict[Kind, dict[bytes, Loader]] = {}
        self._loaded: dict[Kind, set[bytes]] = {}
        self.found: dict[tuple[bytes, bytes], bytes] = {}
        self.missing: dict[tuple[bytes, bytes], Missing] = {}
        reached = self._load_programs()
        self._load_others(reached)

    def anywhere(self, kind: Kind, name: bytes) -> bytes | None:
        """Where a library of that kind is, wherever that may be."""
        return next(iter(self._holders.get((kind, name), ())), None)

    def _load_programs(self) -> set[bytes]:
        """Load every program; returns the libraries that this reached."""
        reached: set[bytes] = set()
        for name, elf in sorted(self._elves.items()):
            if elf.interpreter:
                loaders = self._loaders.setdefault(elf.kind, {})
                if elf.interpreter not in loaders:
                    loaders[elf.interpreter] = loader.loader_of(self._root, elf.interpreter)
                missing, files, names = self._load(name, loaders[elf.interpreter])
                self._loaded.setdefault(elf.kind, set()).update(names)
                reached |= files
                self._note(missing)
        return reached

    def _load_others(self, reached: set[bytes]) -> None:
        """Load what no program reached, plugins and libraries for nobody here, first what none of these needs.

        A program that opens one may have loaded before what that needs, and may have told the loader where to look:
        what a program of the image loads counts, and what lies in the same application's folder.
        """
        needed = {name for elf in self._elves.values() for name in elf.needed}
        rest = [name for name, elf in self._elves.items() if elf.needed and not elf.interpreter and name not in reached]
        rest.sort(key=lambda name: (not {os.path.basename(name), self._elves[name].soname}.isdisjoint(needed), name))
        for name in rest:
            if name in reached:
                continue
            tried = [(self._load(name, by), by) for by in self._known(self._elves[name].kind)]
            (missing, files, _), by = min(tried, key=lambda each: len(each[0][0]))
            reached |= files
            self._note([each for each in missing if not self._is_loaded_before(each, by)])

    def _known(self, kind: Kind) -> list[Loader]:
        """The loaders of this kind in the image: those that programs name, else those that lie there."""
        if kind not in self._loaders:
            lying = [names for (of, base), names in self._holders.items() if of == kind and loader.NAME.fullmatch(base)]
            names = [name for each in lying for name in each]
            found = {b"/" + name: loader.loader_of(self._root, b"/" + name) for name in names}
            self._loaders[kind] = found or {b"": loader.loader_of(self._root, b"")}
        return list(self._loaders[kind].values())

    def _note(self, missing: list[Missing]) -> None:
        for each in missing:
            self.missing.setdefault((each.file, each.library), each)

    def _load(self, program: bytes, by: Loader) -> tuple[list[Missing], set[bytes], set[bytes]]:
        """What is missing when `program` is loaded with all that it needs, breadth first; the files, and their names.

        To glibc a library in memory is one by every name that it was asked for, and by its soname.
        """
        kind, missing = self._elves[program].kind, list[Missing]()
        names, files = {by.name}, {program}
        pending = deque([(program, Loaded(b"/" + program, self._elves[program]))])
        while pending:
            file, item = pending.popleft()
            for name in item.elf.needed:
                if name in names or (by.is_musl and kind in self._with_musl and loader.OF_MUSL.match(name)):
                    continue
                folders = [] if b"/" in name else loader.folders(item, by, self._path)
                found = self._find(loader.expanded(name, item, by), kind, folders)
                if found is None:
                    missing.append(Missing(file, name, program, tuple(dict.fromkeys(folders))))
                    continue
                path, place = found
                target = self._places.get(os.path.split(place), place)
                self.found.setdefault((file, name), place)
                names.add(name)
                if target in self._elves and target not in files:
                    files.add(target)
                    if not by.is_musl:
                        names.add(self._elves[target].soname or name)
                    pending.append((target, Loaded(path, self._elves[target], item)))
        return missing, files, names

    def _find(self, name: bytes, kind: Kind, folders: list[bytes]) -> tuple[bytes, bytes] | None:
        """The path by which a loader finds a library, and where that is."""
        if b"/" in name:
            there = follow(self._root, name)
            return None if there.mode is None else (os.path.join(b"/", name), there.name)
        for folder in folders:
            if folder not in self._folders:
                self._folders[folder] = real_folder(self._root, folder)
            real = self._folders[folder]
            target = None if real is None else self._places.get((real, name))
            if real is not None and target is not None and self._elves[target].kind == kind:
                return os.path.join(folder, name), os.path.join(real, name)
        return None

    def _is_loaded_before(self, missing: Missing, by: Loader) -> bool:
        kind = self._elves[missing.file].kind
        if missing.library in self._loaded.get(kind, ()):
            return True
        everyones = [real_folder(self._root, folder) or folder.strip(b"/") for folder in by.folders]
        for holder in self._holders.get((kind, missing.library), ()):
            shared = os.path.commonpath([os.path.dirname(name) or b"." for name in (missing.file, holder)])
            if b"/" in shared and not any((folder + b"/").startswith(shared + b"/") for folder in everyones):
                return True
        return False
