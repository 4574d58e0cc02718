"""The binary packages that quern has built, by key, and the views of them that emerge is given.

    STORE/
      .lock                                          shared by all who build, alone with who removes
      .claims/                                       who builds what, see `claims`
      sys-libs/zlib-1.3.1-3f0c6f2a9d1b.gpkg.tar      the package; the name carries the start of its key
      sys-libs/zlib-1.3.1-3f0c6f2a9d1b.index         its stanza of a Packages index; written last
    VIEW/
      Packages                                       the index, of exactly the packages an image may use
      sys-libs/zlib/zlib-1.3.1-1.gpkg.tar            a hard link into the store

emerge uses exactly what its index lists, and plans everything from source, silently, where there is none.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, BinaryIO

from quern.errors import BuildError, naming
from quern.portage.emerge import PACKAGE_EPOCH
from quern.portage.package_index import CONSTANT, format_stanza, parse_stanza, read_index, write_index
from quern.portage.plan import package_name
from quern.worker import WorkerError, gpkg, gpkg_write, metadata, regular

if TYPE_CHECKING:
    from quern.worker.accounts import Numbers

SUFFIX = ".gpkg.tar"
BINHOST = "BINHOST"  # in a stanza, ours: where a package comes from that quern did not build
CONTENTS = "CONTENTS_DIGEST"  # in a record, ours: see `Ingredients.contents_digest`
LARGEST = 32 << 30  # bytes of a package; a file with holes may say that it has any number
KEY_DIGITS = 32  # of the 64 in a file's name
_OURS = re.compile(rf"\.?(.+-[0-9a-f]{{{KEY_DIGITS}}})(?:{re.escape(SUFFIX)}|\.index)(?:(?:\.\d+)?\.new)?")


@dataclass(frozen=True)
class Store:
    """The folder of all binary packages; grows, shared by every image. Its lock is the caller's to hold."""

    folder: Path

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self.folder / ".lock"

    def path(self, cpv: str, key: str) -> Path:
        """Where the package `cpv` built under `key` is, or would be."""
        category, name = cpv.split("/")
        return self.folder / category / f"{name}-{key[:KEY_DIGITS]}{SUFFIX}"

    def stanza(self, cpv: str, key: str) -> dict[str, str] | None:
        """The index stanza of a package that is there and whole (by its size), else None."""
        path = self.path(cpv, key)
        return _read_record(path, self.record(path), cpv)

    def sound(self, cpv: str, key: str) -> dict[str, str] | None:
        """The stanza of a package whose content is what it was built as; one that is damaged is dropped."""
        stanza = self.stanza(cpv, key)
        path = self.path(cpv, key)
        before = _inode(path)
        if stanza and _sha1(path) != stanza.get("SHA1"):
            if _inode(path) != before:  # another run has built it again meanwhile
                return self.sound(cpv, key)
            self.record(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            return None
        return stanza

    def packages(self) -> dict[str, list[Path]]:
        """The files that quern has put there, by `category/name` without endings: record first, then package.

        Copies that were never finished are among them; what is called otherwise is somebody else's.
        """
        found: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob("*/*")):
            if (match := _OURS.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
                found.setdefault(f"{path.parent.name}/{match[1]}", []).append(path)
        return {stem: sorted(paths, key=lambda path: SUFFIX in path.name) for stem, paths in found.items()}

    @staticmethod
    def record(path: Path) -> Path:
        """Where the stanza of the package at `path` is."""
        return path.with_name(path.name.removesuffix(SUFFIX) + ".index")

    def add(
        self,
        key: str,
        package: BinaryIO,
        stanza: Mapping[str, str],
        by_root: bool = True,
        known: Numbers | None = None,
        contents: str = "",
    ) -> None:
        """Take in a package, an open file, that emerge has just built; a call cut short leaves nothing that counts.

        It is written anew, so that the same content is the same file. `by_root` says whether root has built it, or this
        user, whose files stand for root's; `known` are the only owners that its files may have; `contents` is its
        `contents_digest`, if that is known. Raises BuildError where it is no package, or has what this user cannot
        give, or files of others.
        """
        path = self.path(stanza["CPV"], key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(path)
        try:
            with naming(temporary):
                with temporary.open("wb") as copy:
                    self._write_anew(stanza["CPV"], package, copy, by_root, known)
                said = {_in_one_line(name): _in_one_line(value) for name, value in stanza.items()}
                described = {**metadata.stanza(said, PACKAGE_EPOCH), **digests(temporary), CONTENTS: contents}
                self._put(temporary, path, described)
        finally:
            temporary.unlink(missing_ok=True)

    def _put(self, temporary: Path, path: Path, stanza: Mapping[str, str]) -> None:
        """Have the package in the file `temporary` at `path`, with its record."""
        record = self.record(path)
        if _read_record(path, record, stanza["CPV"]):  # another run was quicker
            return
        record.unlink(missing_ok=True)  # an old one would vouch for the new package
        temporary.replace(path)
        temporary.unlink(missing_ok=True)  # of two names of one file rename(2) leaves both
        with temporary.open("x", encoding="utf-8") as file:
            file.write(format_stanza(stanza))
        temporary.replace(record)

    def same(self, cpv: str, contents: str) -> Path | None:
        """Find the package that was built from the same `contents`, under whatever key; None if there is none."""
        folder, name = self.path(cpv, "").parent, cpv.split("/")[1]
        for record in sorted(folder.glob(f"{name}-{'?' * KEY_DIGITS}.index")):
            path = record.with_name(record.name.removesuffix(".index") + SUFFIX)
            stanza = _read_record(path, record, cpv)
            if stanza and stanza.get(CONTENTS) == contents and _sha1(path) == stanza.get("SHA1"):
                return path
        return None

    def adopt(self, cpv: str, key: str, former: Path) -> None:
        """Give a package of the store, the file `former`, another key as well. The claim to that is the caller's."""
        path = self.path(cpv, key)
        stanza = _read_record(former, self.record(former), cpv)
        temporary = _temporary(path)
        try:
            with naming(temporary):
                temporary.unlink(missing_ok=True)
                _link_or_copy(former, temporary)
                if stanza:  # else it was removed meanwhile
                    self._put(temporary, path, stanza)
        finally:
            temporary.unlink(missing_ok=True)

    def _write_anew(self, cpv: str, package: BinaryIO, copy: BinaryIO, by_root: bool, known: Numbers | None) -> None:
        try:
            with tempfile.TemporaryFile(dir=self.folder) as spool, gpkg.read(package, "the file") as found:
                names = (found.metadata.get(name, b"").decode(errors="replace").strip() for name in ("CATEGORY", "PF"))
                if (name := "/".join(names)) != cpv:
                    raise WorkerError(f"it is {name}")
                gpkg_write.write(found, copy, spool, PACKAGE_EPOCH, by_root, known)
        except WorkerError as error:
            raise BuildError(f"the binary package of {cpv}: {error}") from None


def _temporary(path: Path) -> Path:
    """A name beside `path` that no other thread or run uses."""
    return path.with_name(f".{path.name}.{os.getpid()}{get_ident()}.new")


def _in_one_line(text: str) -> str:
    """A text of an index that a build has written, which may be anything, without what could end a line."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _read_record(path: Path, record: Path, cpv: str) -> dict[str, str] | None:
    """The stanza in the record of the package `cpv` at `path`, if it is there and whole (by its size), else None."""
    try:
        stanza = parse_stanza(record.read_bytes().decode())  # as Portage: no other line ends
        is_whole = path.stat().st_size == int(stanza["SIZE"]) and stanza["CPV"] == cpv and "BUILD_ID" in stanza
        return stanza if is_whole else None
    except (OSError, KeyError, ValueError):
        return None


def make_view(folder: Path, store: Store, keys: Mapping[str, str]) -> list[str]:
    """Fill the empty `folder` with links to the packages of `keys` (cpv: key) and their index.

    Returns the cpvs that the store lacks, sorted.
    """
    stanzas, missing = [], []
    for cpv, key in sorted(keys.items()):
        stanza = store.sound(cpv, key)
        if stanza is None:
            missing.append(cpv)
            continue
        name = cpv.split("/")[1]
        path = f"{package_name(cpv)}/{name}-{stanza['BUILD_ID']}{SUFFIX}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            _replace_by_link(store.path(cpv, key), folder / path)
        except FileNotFoundError:  # another run has just found it damaged
            missing.append(cpv)
            continue
        stanzas.append({**{name: value for name, value in stanza.items() if name != CONTENTS}, "PATH": path})
    write_index(folder, stanzas)
    return missing


def harvest(
    folder: Path,
    store: Store,
    keys: Mapping[str, str],
    wanted: Iterable[str],
    origins: Mapping[tuple[str, str], str] | None = None,
    by_root: bool = True,
    known: Numbers | None = None,
    contents: str = "",
) -> list[str]:
    """Take the packages `wanted` (cpvs) that emerge has added to the view at `folder` into the store.

    `origins` says by cpv and SHA-1 which of them emerge may have got from which binhost, `by_root`, `known` and
    `contents` are as in `Store.add`. Returns those taken; called after a failed emerge too, so that what was built is
    not built again.
    """
    remaining = set(wanted)
    taken = []
    for stanza in read_index(folder):
        cpv = stanza.get("CPV", "")
        if cpv in remaining and store.stanza(cpv, keys[cpv]):
            remaining.discard(cpv)
        if cpv not in remaining:
            continue
        with _package(folder, stanza) as package:
            if package is not None:
                origin = (origins or {}).get((cpv, stanza.get("SHA1", "")))
                described = {**stanza, BINHOST: origin} if origin else stanza
                store.add(keys[cpv], package, described, by_root=by_root, known=known, contents=contents)
                remaining.discard(cpv)
                taken.append(cpv)
    return taken


@contextmanager
def _package(folder: Path, stanza: Mapping[str, str]) -> Iterator[BinaryIO | None]:
    """The package that a stanza of the index in `folder` is about, open, if it is there and is what that says."""
    try:
        package = regular.opened_below(folder, stanza.get("PATH", ""))
    except OSError:
        yield None
        return
    with package:
        size = os.fstat(package.fileno()).st_size
        is_listed = size <= LARGEST and str(size) == stanza.get("SIZE") and _sha1_of(package) == stanza.get("SHA1")
        package.seek(0)
        yield package if is_listed else None


def check_view(folder: Path, cpvs: Iterable[str]) -> None:
    """Raise BuildError unless the view's index lists exactly the packages `cpvs`, and each file is what it says."""
    listed = read_index(folder)
    odd = sorted({stanza["CPV"] for stanza in listed} ^ set(cpvs))
    paths = {stanza.get("PATH", stanza["CPV"]): stanza.get("SHA1", "") for stanza in listed}
    odd += [path for path, sha1 in paths.items() if _sha1(folder / path) != sha1]
    if odd:
        raise BuildError(f"{folder} was damaged ({', '.join(odd)}); run it again, and it is made anew")


def link_view(source: Path, target: Path, head: Mapping[str, str] = CONSTANT) -> None:
    """Make `target` a view of the same packages, which are hard links: for readers alone."""
    for stanza in read_index(source):
        (target / stanza["PATH"]).parent.mkdir(parents=True, exist_ok=True)
        _replace_by_link(source / stanza["PATH"], target / stanza["PATH"])
    write_index(target, read_index(source), head)


def copy_view(source: Path, target: Path) -> None:
    """Make `target` a view of the same packages, each a file of its own: phases of strangers may write there."""
    for stanza in read_index(source):
        (target / stanza["PATH"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / stanza["PATH"], target / stanza["PATH"])
    write_index(target, read_index(source))


def digests(package: Path) -> dict[str, str]:
    """What an index says of a package's file."""
    found = {name: hashlib.new(name, usedforsecurity=name == "SHA256") for name in ("MD5", "SHA1", "SHA256")}
    with package.open("rb") as file:
        while block := file.read(1 << 20):
            for digest in found.values():
                digest.update(block)
        size = file.tell()
    return {"SIZE": str(size), **{name: digest.hexdigest() for name, digest in found.items()}}


def _inode(path: Path) -> int | None:
    """What tells a file from one that has taken its place; None where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _sha1(path: Path) -> str | None:
    """The digest that Portage's index has of every package; None where there is no file."""
    try:
        with regular.opened(path) as file:
            return _sha1_of(file)
    except OSError:
        return None


def _sha1_of(file: BinaryIO) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _replace_by_link(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    _link_or_copy(source, temporary)
    temporary.replace(target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)
