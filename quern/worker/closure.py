"""Whether what the files of an image name is in it: libraries, interpreters, the targets of links.

Where the loader looks is the image's own affair (RUNPATH, ld.so.conf, dlopen), so a library counts wherever it lies. Of
scripts those count that can be executed. Links may lead to where an engine mounts something when the image runs.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from . import elf, vdb
from .links import follow
from .rules import matches
from .walk import Entry, walk

MOUNTED = re.compile(rb"(proc|sys|dev|run|tmp|var/run|var/tmp)(/|\Z)")
PATH = (b"usr/local/sbin", b"usr/local/bin", b"usr/sbin", b"usr/bin", b"sbin", b"bin")
LINE = 256  # bytes of a script's first line that the kernel looks at: execve(2), BINPRM_BUF_SIZE
# Names that musl's loader takes for itself, whatever is on disk (musl, ldso/dynlink.c).
_OF_MUSL = re.compile(rb"lib(c|pthread|rt|m|dl|util|xnet)\.")

LIBRARY, INTERPRETER, PROGRAM, TARGET = "library", "interpreter", "program", "target"


class Need(NamedTuple):
    """What a file names: `kind` says how, `elf` of which ELF kind a library has to be."""

    file: bytes
    kind: str
    name: bytes
    elf: tuple[int, int, int] | None = None


class _Tree:
    """What there is below a root, and what of it names others."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self.needs: list[Need] = []
        self.libraries: dict[tuple[tuple[int, int, int], bytes], bytes] = {}  # by kind and base name: a name in root
        self.links: list[bytes] = []
        kinds: dict[bytes, tuple[int, int, int]] = {}
        for entry in walk(root):
            if stat.S_ISREG(entry.status.st_mode):
                self._read(entry, kinds)
            elif stat.S_ISLNK(entry.status.st_mode):
                self.links.append(entry.name)
        for name in self.links:
            target = follow(root, name)
            if target.name in kinds:
                self.libraries.setdefault((kinds[target.name], os.path.basename(name)), name)
            if target.mode is None and not MOUNTED.match(target.name):
                self.needs.append(Need(name, TARGET, os.readlink(os.path.join(root, name))))

    def _read(self, entry: Entry, kinds: dict[bytes, tuple[int, int, int]]) -> None:
        path = os.path.join(self.root, entry.name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except PermissionError:  # an ordinary user's own file, of mode 0111 say
            return
        with open(descriptor, "rb") as file:
            first = file.read(LINE).partition(b"\n")[0]
            found = elf.read(file) if first.startswith(elf.MAGIC) else None
        if found:
            kinds[entry.name] = found.kind
            self.libraries.setdefault((found.kind, os.path.basename(entry.name)), entry.name)
            if found.interpreter:
                self.needs.append(Need(entry.name, INTERPRETER, found.interpreter))
            self.needs += [Need(entry.name, LIBRARY, name, found.kind) for name in found.needed]
        elif first.startswith(b"#!") and entry.mode & 0o111:
            self.needs += [Need(entry.name, *need) for need in _of_script(first)]

    def find(self, need: Need) -> bytes | None:
        """The name in this tree of what is needed, if it is there; b"" where no file of that name has to be."""
        if need.kind == LIBRARY and b"/" not in need.name:
            return self._library(need)
        if need.kind == PROGRAM:
            return next((found for folder in PATH if (found := self._there(folder + b"/" + need.name))), None)
        if need.kind == TARGET:
            return self._there(need.file)
        return self._there(need.name)

    def _library(self, need: Need) -> bytes | None:
        assert need.elf
        found = self.libraries.get((need.elf, need.name))
        if found is None and _OF_MUSL.match(need.name):
            is_there = any(kind == need.elf and name.startswith(b"ld-musl-") for kind, name in self.libraries)
            return b"" if is_there else None
        return found

    def _there(self, name: bytes) -> bytes | None:
        found = follow(self.root, name)
        return found.name if found.mode is not None else None


def _of_script(line: bytes) -> Iterator[tuple[str, bytes]]:
    """What a script's first line names: the interpreter and, of env, the program that it will look for."""
    words = line[2:].split()
    if not words or not words[0].startswith(b"/"):
        return
    yield INTERPRETER, words[0]
    if os.path.basename(words[0]) == b"env":
        program = next((word for word in words[1:] if not word.startswith(b"-") and b"=" not in word), None)
        if program:
            yield (INTERPRETER if b"/" in program else PROGRAM), program


def closure(root: str, whole: str, rules: list[str]) -> dict[str, Any]:
    """What files in `root` name and is not there; `whole` is the root that `rules` were applied to (see rules.py).

    Returns {"unresolved": [{"file", "package", "kind", "needs", "was", "of", "rule"}, ...]} in the order of the files:
    `was` is the path that it had in `whole`, `of` that one's package and `rule` what took it out, or "".
    """
    tree = _Tree(os.fsencode(root))
    lost = [need for need in tree.needs if tree.find(need) is None]
    if not lost:
        return {"unresolved": []}
    top = os.fsencode(whole)
    before, owners = _Tree(top), vdb.owners(whole)
    matched = {rule: matches(top, rule) for rule in rules}
    rows = []
    for need in sorted(lost):
        was = before.find(need) or b""
        path, file = os.fsdecode(b"/" + was) if was else "", os.fsdecode(b"/" + need.file)
        rows.append(
            {
                "file": file,
                "package": owners.get(file, ""),
                "kind": need.kind,
                "needs": os.fsdecode(need.name),
                "was": path,
                "of": owners.get(path, ""),
                "rule": next((rule for rule, names in matched.items() if _is_among(was, names)), ""),
            }
        )
    return {"unresolved": rows}


def _is_among(name: bytes, names: set[bytes]) -> bool:
    """Whether `name` is one of `names` or below one."""
    parts = name.split(b"/")
    return any(b"/".join(parts[:end]) in names for end in range(1, len(parts) + 1))
