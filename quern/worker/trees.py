"""Whole trees: digest, clone (without what strip rules name), move, remove."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable
from typing import Any

from . import WorkerError
from .removal import remove_tree
from .rules import matches
from .walk import Entry, content, walk, xattrs

Summary = dict[str, Any]


def digest(root: str) -> Summary:
    """{"digest", "files", "bytes", "disk"} of a tree: content, types, modes, owners, attributes, links; not times.

    `files` counts everything that is not a folder, `bytes` the content of regular files, a hard link once; `disk` are
    the bytes that all of it takes.
    """
    top = os.fsencode(root)
    sha256 = hashlib.sha256()
    files = size = blocks = 0
    for entry in walk(top):
        path = os.path.join(top, entry.name)
        kind = stat.S_IFMT(entry.status.st_mode)
        files += kind != stat.S_IFDIR
        blocks += entry.status.st_blocks if entry.first is None else 0
        for field in _fields(path, entry):
            # Each field says how long it is: no two trees can give the same bytes.
            sha256.update(b"%d:" % len(field))
            sha256.update(field)
        if kind == stat.S_IFREG and entry.first is None:
            size += entry.status.st_size
            for piece in content(path, entry.status.st_size):
                sha256.update(piece)
    return {"digest": f"sha256:{sha256.hexdigest()}", "files": files, "bytes": size, "disk": blocks * 512}


def _fields(path: bytes, entry: Entry) -> Iterable[bytes]:
    kind = stat.S_IFMT(entry.status.st_mode)
    attributes = xattrs(path)
    yield entry.name
    yield b"%o %o %d %d %d" % (kind, entry.mode, *entry.owner, len(attributes))
    for name, value in attributes.items():
        yield os.fsencode(name)
        yield value
    if entry.first is not None:
        yield b"=" + entry.first
    elif kind == stat.S_IFREG:
        yield b"%d" % entry.status.st_size
    elif kind == stat.S_IFLNK:
        yield os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        yield b"%d" % entry.status.st_rdev


def clone(source: str, target: str, skip: list[str]) -> Summary:
    """Make `target` a copy of `source` by hard links, without what the rules in `skip` match (see rules.py).

    Returns {"rules": [{"rule", "paths", "files", "bytes"}, ...], "removed": {"files", "bytes"}}. A rule's figures do
    not depend on the other rules, so one that matches nothing has `paths` 0; `removed` counts what several rules
    match once. Neither tree may be written to afterwards: they share their files.
    """
    top = os.fsencode(source)
    found = {rule: matches(top, rule) for rule in skip}
    skipped = set().union(*found.values())
    _replicate(top, os.fsencode(target), skipped, _link)
    return {
        "rules": [{"rule": rule, "paths": len(paths), **_volume(top, paths)} for rule, paths in found.items()],
        "removed": _volume(top, skipped),
    }


def move(source: str, target: str) -> None:
    """Make the folder `source` the new folder `target`: a copy, times included, where another mount is between them."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _replicate(os.fsencode(source), os.fsencode(target), frozenset(), _copy)
        remove_tree(os.fsencode(source))


def _volume(root: bytes, names: Collection[bytes]) -> dict[str, int]:
    """How many files, and bytes in them, `names` stand for, what is below them included, nothing twice."""
    files = size = 0
    for name in names:
        if any(name[:end] in names for end in _slashes(name)):
            continue
        for entry in walk(os.path.join(root, name)):
            files += not stat.S_ISDIR(entry.status.st_mode)
            size += entry.status.st_size if stat.S_ISREG(entry.status.st_mode) and entry.first is None else 0
    return {"files": files, "bytes": size}


def _slashes(name: bytes) -> list[int]:
    return [place.start() for place in re.finditer(b"/", name)]


def _replicate(source: bytes, target: bytes, skip: Collection[bytes], place: Callable[[bytes, bytes], None]) -> None:
    """Rebuild the folders of `source` in `target`, which must not exist; `place` makes each file that is new."""
    folders = []
    for entry in walk(source, skip):
        old, new = os.path.join(source, entry.name), os.path.join(target, entry.name)
        if stat.S_ISDIR(entry.status.st_mode):
            # Open to us until its content is there: an ordinary user cannot write into a folder of mode 0555.
            os.mkdir(new.rstrip(b"/"), 0o700)
            folders.append((old, new))
        elif entry.first is not None:
            os.link(os.path.join(target, entry.first), new)
        else:
            place(old, new)
    for old, new in reversed(folders):
        _copy_metadata(old, new)


def _link(old: bytes, new: bytes) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError as error:
        # Another mount, or too many links (ext4: 65000): the bytes are what counts.
        if error.errno not in (errno.EXDEV, errno.EMLINK):
            raise
        _copy(old, new)


def _copy(old: bytes, new: bytes) -> None:
    mode = os.lstat(old).st_mode
    if stat.S_ISREG(mode):
        _copy_content(old, new)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(old), new)
    else:
        os.mknod(new, mode, os.lstat(old).st_rdev)
    _copy_metadata(old, new)


def _copy_content(old: bytes, new: bytes) -> None:
    """Copy a file within the kernel, which shares the blocks where the file system can (copy_file_range(2))."""
    try:
        with open(old, "rb", buffering=0) as source, open(new, "wb", buffering=0) as target:
            left = os.fstat(source.fileno()).st_size
            while left and (copied := os.copy_file_range(source.fileno(), target.fileno(), left)):
                left -= copied
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        left = 1
    if left:  # not between these file systems, or not to its end, as some do without an error
        shutil.copyfile(old, new)


def _copy_metadata(old: bytes, new: bytes) -> None:
    """Owner, mode, attributes, times, in this order: a new owner clears set-id bits and capabilities (chown(2))."""
    status = os.lstat(old)
    if os.geteuid() == 0:
        os.lchown(new, status.st_uid, status.st_gid)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(new, stat.S_IMODE(status.st_mode))
    for name, value in xattrs(old).items():
        os.setxattr(new, name, value, follow_symlinks=False)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def remove(path: str, within: str) -> Summary:
    """Remove `path`, file or tree, if it is there; WorkerError unless it is strictly inside the folder `within`.

    Links are removed, never followed, and nothing is removed below which something is mounted: a killed build may
    have left the host's files there.
    """
    parent, name = os.path.split(os.path.abspath(os.fsencode(path)))
    real, limit = os.path.join(os.path.realpath(parent), name), os.path.realpath(os.fsencode(within))
    if limit == b"/" or not real.startswith(limit + b"/"):
        raise WorkerError(f"refusing to remove {path}: it is not inside {within}")
    for mount in _mounts():
        if mount == real or mount.startswith(real + b"/"):
            raise WorkerError(f"refusing to remove {path}: {os.fsdecode(mount)} is mounted there (umount it first)")
    try:
        remove_tree(real)
    except PermissionError as error:
        culprit = os.fsdecode(error.filename or real)
        raise WorkerError(f"cannot remove {path}: no permission for {culprit} (made by root? then as root)") from error
    return {}


def _mounts() -> list[bytes]:
    """Every mount point this process sees, from proc(5), where special characters are written in octal."""
    with open("/proc/self/mountinfo", "rb") as table:
        return [re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), line.split()[4]) for line in table]
