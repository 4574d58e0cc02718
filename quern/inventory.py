"""What is in an image: its packages, its files and its configuration; small enough to be kept when the image is not.

build/NAME/image/inventory.json.gz    of the image
build/NAME/image/former.json.gz       of the last one that was another; there is none of the first

Packages are those of the build that made the image: a later one may have given the same bytes, of other flags say.
"""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quern.errors import BuildError, display
from quern.portage import lockfile

NAME, FORMER = "inventory.json.gz", "former.json.gz"
FORMAT = 2


class File(NamedTuple):
    """Something in an image, the folders too; see `inventory` in worker/inventory.py for what the fields are."""

    path: str
    kind: str
    mode: str
    owner: str
    size: int
    content: str
    package: str = ""
    attributes: str = ""


class Inventory(NamedTuple):
    """An image; what is None is not known of it.

    `ids` are those that engines may call it by, `settings` its configuration as OCI has it, `lock` the part of a lock
    that is about the packages in it.
    """

    reference: str
    ids: Sequence[str]
    settings: Mapping[str, Any] | None
    lock: str | None
    files: Sequence[File]


def lock_of(lock: Path, packages: Container[str]) -> str:
    """The part of the lock at `lock` that is about the packages with these cpvs."""
    known = lockfile.parse(lock.read_text(encoding="utf-8"), str(lock))
    return lockfile.text(package for package in known if package.cpv in packages)


def of_rows(rows: Iterable[Sequence[Any]]) -> list[File]:
    """The files of a worker's answer."""
    return [File(*row) for row in rows]


def write(path: Path, inventory: Inventory) -> None:
    """Keep it."""
    text = json.dumps({"format": FORMAT, **inventory._asdict()}, sort_keys=True, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def read(path: Path) -> Inventory | None:
    """What `write` wrote; None where there is nothing, or none of this format. Raises BuildError if it is damaged."""
    try:
        data = json.loads(gzip.decompress(path.read_bytes()))
        if data.pop("format") != FORMAT:
            return None
        return Inventory(**{**data, "files": of_rows(data["files"])})
    except FileNotFoundError:
        return None
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise BuildError(f"{display(path)} was damaged; remove {display(path.parent)}, and it is made anew") from None


def keep_former(folders: Iterable[Path], image_id: str, target: Path) -> None:
    """Copy to `target` what the first of the image step's `folders` that is there knows of an image that was another.

    That is its own inventory, or if that is of `image_id` as well, the one that it has kept.
    """
    for folder in folders:
        try:
            last = read(folder / NAME)
        except BuildError:  # then nothing is known of it
            last = None
        if last is None:
            continue
        former = folder / (FORMER if image_id in last.ids else NAME)
        if former.exists():
            shutil.copyfile(former, target)
        return
