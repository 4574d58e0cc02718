"""The image of a binary package, one member after the other: read once, and written to where each belongs."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator

from . import WorkerError, holes
from .gpkg import XATTR, BinaryPackage, below
from .walk import is_content

CHUNK = 1 << 20  # bytes


class Member:
    """One thing in an image: its name below the root, type and mode as in st_mode, size, and a symlink's target."""

    def __init__(self, image: _Image, name: bytes, info: tarfile.TarInfo | None, first: Member | None = None) -> None:
        self.name = name
        self._image = image
        self._first = first  # the file that this one is a hard link to
        self.mode: int = first.mode if first else 0
        self.size: int = first.size if first else 0
        self.target: bytes = first.target if first else b""
        self.describe(info)

    def describe(self, info: tarfile.TarInfo | None) -> None:
        """Take over what the package says of it; None for a folder that it does not name."""
        self._info = info
        if not self._first:
            self.mode = _kind(info) | stat.S_IMODE(info.mode) if info else stat.S_IFDIR | 0o755
            self.size = info.size if info else 0
            self.target = info.linkname.encode("utf-8", "surrogateescape") if info and info.issym() else b""

    def put(self, path: bytes) -> bytes:
        """Write the file or link to `path`, as `give` does; returns the MD5 of a regular file's content, or nothing.

        Raises FileExistsError where something is already.
        """
        digest = b""
        if self._first:
            where, digest = self._image.places[self._first.name]
            os.link(where, path, follow_symlinks=False)
            if self.mode != self._first.mode:
                os.chmod(path, stat.S_IMODE(self.mode))
        elif stat.S_ISLNK(self.mode):
            os.symlink(self.target, path)
            self.give(path)
        else:
            digest = self._write(path)
            self.give(path)
        self._image.places[self.name] = path, digest
        return digest

    def _write(self, path: bytes) -> bytes:
        assert self._info is not None
        content = self._image.package.image.extractfile(self._info)
        assert content is not None
        digest = hashlib.md5(usedforsecurity=False)
        with open(path, "xb") as file:
            while piece := content.read(CHUNK):
                digest.update(piece)
                holes.write(file, piece)
            holes.finish(file)
        return digest.hexdigest().encode()

    def give(self, path: bytes) -> None:
        """Give what is at `path` this one's owner, by number, `mode`, attributes and times.

        In this order: a new owner clears set-id bits and capabilities (chown(2)).
        """
        info, is_root = self._info, os.geteuid() == 0
        if info and is_root:
            os.lchown(path, info.uid, info.gid)
        if not stat.S_ISLNK(self.mode):
            os.chmod(path, stat.S_IMODE(self.mode))
        for name, value in info.pax_headers.items() if info else ():
            attribute = name[len(XATTR) :]
            if not name.startswith(XATTR) or not is_content(attribute):
                continue
            if attribute == "security.capability" and not is_root:
                what = os.fsdecode(self.name)
                raise WorkerError(f"capabilities of {what!r} take root, or build.driver = docker, to be installed")
            os.setxattr(path, attribute, value.encode("utf-8", "surrogateescape"), follow_symlinks=False)
        if info:
            os.utime(path, (info.mtime, info.mtime), follow_symlinks=False)


class _Image:
    """What of an image was read so far, and the path and digest of each file that was put somewhere."""

    def __init__(self, package: BinaryPackage) -> None:
        self.package = package
        self.folders: dict[bytes, Member] = {}
        self.files: dict[bytes, Member] = {}
        self.places: dict[bytes, tuple[bytes, bytes]] = {}


def members(package: BinaryPackage, spare: bytes) -> Iterator[Member]:
    """What is in the image of `package`, each folder before its content.

    A file that the caller puts nowhere goes into the folder `spare`: a hard link to it may follow. Raises ValueError,
    which `gpkg.opened` makes a WorkerError, for a name that leads out of the image, that is there twice or is below
    something else than a folder, and for a device or pipe.
    """
    image = _Image(package)
    for info in package.image:
        name = below(info.name, package.prefix)
        if name is None:
            continue
        if name in image.files or (name in image.folders and not info.isdir()):
            raise ValueError(f"{os.fsdecode(name)!r} is in it twice")
        yield from _folders_above(image, name)
        if name in image.folders:
            image.folders[name].describe(info)
        elif info.isdir():
            image.folders[name] = Member(image, name, info)
            yield image.folders[name]
        else:
            image.files[name] = Member(image, name, info, _first(image, info))
            yield image.files[name]
            if name not in image.places:
                image.files[name].put(os.path.join(spare, b"%d" % len(image.places)))
    while package.image.fileobj and package.image.fileobj.read(CHUNK):
        pass  # to the end, where a compressor's check sum is


def _folders_above(image: _Image, name: bytes) -> Iterator[Member]:
    """The folders above `name` that were not there yet: the package does not name them, or later."""
    above = os.path.dirname(name)
    if not above or above in image.folders:
        return
    if above in image.files:
        raise ValueError(f"{os.fsdecode(above)!r} is no folder")
    yield from _folders_above(image, above)
    image.folders[above] = Member(image, above, None)
    yield image.folders[above]


def _first(image: _Image, info: tarfile.TarInfo) -> Member | None:
    """The file that a hard link is; None for all else."""
    if not info.islnk():
        return None
    first = image.files.get(below(info.linkname, image.package.prefix) or b"")
    if first is None:
        raise ValueError(f"{info.name!r} is a hard link to {info.linkname!r}, which is not in it")
    return first


def _kind(info: tarfile.TarInfo) -> int:
    if info.isdir():
        return stat.S_IFDIR
    if info.issym():
        return stat.S_IFLNK
    if info.isreg():
        return stat.S_IFREG
    raise ValueError(f"{info.name!r} is a device or a pipe")


def unpack(package: BinaryPackage, target: bytes, spare: bytes) -> None:
    """Unpack the image of `package` into the empty folder `target`; for `spare` and what is raised see `members`."""
    folders = []
    for member in members(package, spare):
        path = os.path.join(target, member.name)
        if stat.S_ISDIR(member.mode):
            os.mkdir(path, 0o700)
            folders.append((path, member))
        else:
            member.put(path)
    for path, folder in reversed(folders):
        folder.give(path)
