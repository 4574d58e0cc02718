"""Layers, applied one upon the other as engines do (OCI image-spec, layer.md); nothing is unpacked."""

from __future__ import annotations

import hashlib
import posixpath
import sys
import tarfile
from typing import NamedTuple

from quern.archive_stream import CHUNK, Budget, Refused, Stream, members, naming
from quern.inventory import File
from quern.worker.inventory import attributes_digest
from quern.worker.links import MAX_LINKS
from quern.worker.unpack import XATTR
from quern.worker.walk import is_content

WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
AUFS = ".wh..wh."  # begins what that file system kept for itself, which engines pass over
KINDS = {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "pipe",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}


class _Folder:
    """A folder; `file` is what is known of it, None of one that only has something in it."""

    __slots__ = ("children", "file")

    def __init__(self, file: File | None = None) -> None:
        self.file = file
        self.children: dict[str, _Folder | File] = {}


class _Link(NamedTuple):
    """A further name, `path`, of the file `target`."""

    path: str
    target: str


class Tree:
    """What is in the layers applied so far."""

    def __init__(self, budget: Budget) -> None:
        self._top = _Folder()
        self._budget = budget

    def files(self) -> list[File]:
        """All of it, sorted."""
        found, pending = [], [self._top]
        while pending:
            folder = pending.pop()
            if folder.file is not None:
                found.append(folder.file)
            for child in folder.children.values():
                if isinstance(child, File):
                    found.append(child)
                else:
                    pending.append(child)
        return sorted(found)

    def apply(self, stream: Stream) -> None:
        """Put a layer upon it. Raises Refused.

        What a layer hides is of those below it, wherever in the layer that is said: it is hidden before the layer's own
        files are there.
        """
        own: list[File | _Link] = []
        for tar, member in members(stream):
            with naming(member.name):
                path = _path(member.name)
                folder, _, name = path.rpartition("/")
                if name == OPAQUE:
                    self._hide(folder, None)
                elif f"/{AUFS}" in f"/{path}":
                    continue
                elif name.startswith(WHITEOUT):
                    self._hide(folder, name.removeprefix(WHITEOUT))
                else:
                    own.append(_entry(tar, member, path, self._budget))
        for entry in own:
            with naming(entry.path or "."):
                self._put(entry)

    def _hide(self, folder: str, name: str | None) -> None:
        """Hide `name` in a folder, or all that is in it; links are not followed, as a layer's paths are real ones."""
        if name in ("", ".", ".."):
            raise Refused("expected the name of what it hides")
        here = self._top
        for part in filter(None, folder.split("/")):
            below = here.children.get(part)
            if not isinstance(below, _Folder):
                return
            here = below
        if name is None:
            here.children.clear()
        else:
            here.children.pop(name, None)

    def _put(self, entry: File | _Link) -> None:
        """Put it in place of what is there. A folder upon a folder keeps what is in it, as the only one."""
        folder, _, name = entry.path.rpartition("/")
        here, real = self._folder(folder)
        file = self._linked(entry) if isinstance(entry, _Link) else entry
        file = file._replace(path=f"{real}/{name}".lstrip("/"))
        there = here.children.get(name) if name else self._top
        if file.kind == "folder" and isinstance(there, _Folder):
            there.file = file
        elif not name:
            raise Refused("expected a folder at the top of the image")
        else:
            here.children[name] = _Folder(file) if file.kind == "folder" else file

    def _linked(self, link: _Link) -> File:
        folder, _, name = link.target.rpartition("/")
        first = self._folder(folder)[0].children.get(name)
        if not isinstance(first, File):
            raise Refused(f"expected a hard link to a file, and there is none at {link.target}")
        return first._replace(size=0)

    def _folder(self, path: str) -> tuple[_Folder, str]:
        """The folder at `path`, made if it is not there, and its real path: links are followed within the image."""
        stack, names = [self._top], [""]
        todo, links = path.split("/")[::-1], 0
        while todo:
            self._budget.spend(64)  # it takes time
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if len(stack) > 1:
                    del stack[-1], names[-1]
                continue
            below = stack[-1].children.setdefault(part, _Folder())
            if isinstance(below, _Folder):
                stack.append(below)
                names.append(part)
                continue
            links += 1
            if below.kind != "link" or links > MAX_LINKS:
                raise Refused(f"expected a folder at {below.path}")
            if below.content.startswith("/"):
                del stack[1:], names[1:]
            todo += below.content.split("/")[::-1]
        return stack[-1], "/".join(names)


def _path(name: str) -> str:
    """The path in the image that a member's name stands for, "" for its top."""
    path = posixpath.normpath(name.lstrip("/") or ".")
    if path == ".." or path.startswith("../"):
        raise Refused("expected a path within the image")
    return "" if path == "." else path


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str, budget: Budget) -> File | _Link:
    if member.islnk():
        return _Link(path, _path(member.linkname))
    size, content = 0, ""
    kind = KINDS.get(member.type, "file")
    if kind == "link":
        content = member.linkname
    elif kind == "device":
        content = f"{member.devmajor}:{member.devminor}"
    elif kind == "file":
        size, content = member.size, _digest(tar, member, budget)
    mode, owner = sys.intern(f"{member.mode & 0o7777:o}"), sys.intern(f"{member.uid}:{member.gid}")
    return File(path, kind, mode, owner, size, content, attributes=_attributes(member))


def _attributes(member: tarfile.TarInfo) -> str:
    found = {name.removeprefix(XATTR): text for name, text in member.pax_headers.items() if name.startswith(XATTR)}
    return attributes_digest(
        {name: text.encode(errors="surrogateescape") for name, text in found.items() if is_content(name)}
    )


def _digest(tar: tarfile.TarFile, member: tarfile.TarInfo, budget: Budget) -> str:
    if member.sparse is not None:
        budget.spend(member.size)  # it may be all holes, which are in no archive
    digest = hashlib.sha256()
    stream = tar.extractfile(member)
    assert stream is not None
    while piece := stream.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()
