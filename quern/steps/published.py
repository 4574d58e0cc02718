"""What steps put outside the work folder: files of their outputs, under the names that users look for.

Each is a hard link, or on another file system a copy with the same time. A receipt says what was put there by size and
time, because another image may have taken the name since.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from quern.errors import BuildError
from quern.steps import receipt as receipts
from quern.steps.receipt import Place


def made_outside(place: Place) -> dict[str, Sequence[int]]:
    """The paths outside the work folder that this and earlier runs have made, with marks of what they put there."""
    found = (receipts.read(place.former_receipt), receipts.read(place.receipt))
    return {path: mark for receipt in found if receipt for path, mark in receipt.made.items()}


def mark_of(path: Path) -> list[int]:
    """By what a file that was put outside the work folder is known again; of what is not there, nothing."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def is_published(source: Path, path: Path) -> bool:
    """Whether `path` is the hard link, or on another file system the copy, that publishing made."""
    try:
        ours, theirs = source.stat(), path.stat()
    except OSError:
        return False
    same = (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
    return same or mark_of(source) == mark_of(path)


def publish(output: Path, names: Mapping[Path, str]) -> None:
    """Put files of `output` where `names` says, by path. Raises BuildError, and DriverError where others may write."""
    from quern.steps.work import check_owner

    for path, name in names.items():
        check_owner(path.parent, "[build] outdir")
        try:
            _link(output / name, path)
        except OSError as error:
            raise BuildError(f"{path} cannot be written: {error.strerror}; set [build] outdir") from None


def _link(source: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        try:
            temporary.hardlink_to(source)
        except OSError:  # another file system, or one without hard links
            shutil.copy2(source, temporary)  # its time too: that is how the copy is known again
            with temporary.open("rb") as copy:
                os.fsync(copy.fileno())  # a receipt that outlives a power cut must not vouch for less
        temporary.replace(path)
    except OSError:  # a full disk, say: what is left there nobody would remove
        temporary.unlink(missing_ok=True)
        raise
