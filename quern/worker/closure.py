"""Check that the files of an image have the libraries, interpreters and targets of links that they name.

A library has to be where the loader looks (see libraries.py). Of scripts those count that can be executed. Links may
lead to where an engine mounts something when the image runs. starting.py
is for what quern.conf names.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import elf, loader, starting
from .libraries import Libraries
from .links import follow
from .missing import Missing
from .starting import MOUNTED
from .walk import Entry, walk

LINE = 256  # bytes of a script's first line that the kernel looks at: execve(2), BINPRM_BUF_SIZE

LIBRARY, INTERPRETER, PROGRAM, TARGET = "library", "interpreter", "program", "target"


class Need(NamedTuple):
    """What a file names: `kind` says how."""

    file: bytes
    kind: str
    name: bytes


class _Tree:
    """What there is below a root, and what of it names others."""

    def __init__(self, root: bytes, path: list[bytes], library_path: bytes) -> None:
        self.root = root
        self.needs: list[Need] = []
        self.elves: dict[bytes, elf.Elf] = {}
        self._path = path
        links: dict[bytes, bytes] = {}
        for entry in walk(root):
            if stat.S_ISREG(entry.status.st_mode):
                self._read(entry)
            elif stat.S_ISLNK(entry.status.st_mode):
                links[entry.name] = follow(root, entry.name).name
        for name, target in links.items():
            if not MOUNTED.match(target):
                self.needs.append(Need(name, TARGET, os.readlink(os.path.join(root, name))))
        to_elves = {name: target for name, target in links.items() if target in self.elves}
        self.libraries = Libraries(root, self.elves, to_elves, library_path)

    def _read(self, entry: Entry) -> None:
        path = os.path.join(self.root, entry.name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except PermissionError:  # an ordinary user's own file, of mode 0111 say
            return
        with open(descriptor, "rb") as file:
            first = file.read(LINE).partition(b"\n")[0]
            found = elf.read(file) if first.startswith(elf.MAGIC) else None
        if found:
            self.elves[entry.name] = found
            if found.interpreter:
                self.needs.append(Need(entry.name, INTERPRETER, found.interpreter))
        elif first.startswith(b"#!") and entry.mode & 0o111:
            self.needs += [Need(entry.name, *need) for need in _of_script(first)]

    def lost(self) -> list[Need]:
        """What is named and not there, in the order of the files."""
        missing = [Need(each.file, LIBRARY, each.library) for each in self.libraries.missing.values()]
        return sorted([*missing, *(need for need in self.needs if self.find(need) is None)])

    def find(self, need: Need) -> bytes | None:
        """The name in this tree of what is needed, if it is there."""
        if need.kind == LIBRARY:
            return self.libraries.found.get((need.file, need.name)) or self.anywhere(need)
        if need.kind == PROGRAM:
            return next((found for folder in self._path if (found := self._there(folder + b"/" + need.name))), None)
        return self._there(need.file if need.kind == TARGET else need.name)

    def anywhere(self, need: Need) -> bytes | None:
        """Where a library lies, whether or not a loader looks there."""
        found = self.elves.get(need.file)
        return self.libraries.anywhere(found.kind, need.name) if found else None

    def _there(self, name: bytes) -> bytes | None:
        found = follow(self.root, name)
        return found.name if found.mode is not None else None


def _of_script(line: bytes) -> Iterator[tuple[str, bytes]]:
    """What a script's first line names: the interpreter and, of env, the program that it will look for.

    To the kernel a blank is a space or a tab, and what follows the interpreter is one word (fs/binfmt_script.c).
    """
    name, *rest = re.split(rb"[ \t]+", line[2:].strip(b" \t"), maxsplit=1)
    if not name.startswith(b"/"):
        return
    yield INTERPRETER, name
    if os.path.basename(name) == b"env" and rest:
        program = _of_env(rest[0])
        if program:
            yield (INTERPRETER if b"/" in program else PROGRAM), program


def _of_env(word: bytes) -> bytes | None:
    """The program that env(1) runs when `word` is its only argument; None if that cannot be said."""
    split = re.match(rb"-\w*S|--split-string=?", word)
    if split:
        words = word[split.end() :].split()
        return next((each for each in words if not each.startswith(b"-") and b"=" not in each), None)
    return None if word.startswith(b"-") or b"=" in word else word


def closure(root: str, whole: str, rules: list[str], path: str = "", library_path: str = "") -> dict[str, Any]:
    """What files in `root` name and is not there; `whole` is the root that `rules` were applied to (see rules.py).

    `path` and `library_path` are the image's PATH and LD_LIBRARY_PATH. Returns {"unresolved": [row, ...]} in the order
    of the files, rows as in missing.py.
    """
    folders = starting.folders(path)
    tree = _Tree(os.fsencode(root), folders, os.fsencode(library_path))
    lost = tree.lost()
    if not lost:
        return {"unresolved": []}
    before, missing = _Tree(os.fsencode(whole), folders, os.fsencode(library_path)), Missing(whole, rules)
    return {"unresolved": [_row(need, tree, before, missing) for need in lost]}


def _row(need: Need, tree: _Tree, before: _Tree, missing: Missing) -> dict[str, str]:
    file, needs, was, more = os.fsdecode(b"/" + need.file), os.fsdecode(need.name), b"", {}
    at = tree.anywhere(need) if need.kind == LIBRARY else None
    if at:
        sought = tree.libraries.missing[need.file, need.name]
        folders = os.fsdecode(b" ".join(sought.folders))
        more = {"at": os.fsdecode(b"/" + at), "program": os.fsdecode(b"/" + sought.program), "folders": folders}
        if b"/" + os.path.dirname(at) in loader.without_cache(tree.root):
            more["why"] = "; ld.so.conf names that folder, but there is no /etc/ld.so.cache, which ldconfig makes"
    else:
        was = before.find(need) or b""
        more = {"why": "" if was else _of_name(need)}
    return missing.row(file, need.kind, needs, was, **more)


def _of_name(need: Need) -> str:
    """Why what a script names cannot be there, if its first line says that."""
    if need.kind in (INTERPRETER, PROGRAM) and need.name.endswith(b"\r"):
        return "its first line ends with CR LF, and the kernel takes the CR for a part of the name: save it with LF"
    if need.kind == PROGRAM and re.search(rb"[ \t]", need.name):
        return "the kernel gives env one word: write `env -S`"
    return ""
