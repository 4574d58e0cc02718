"""Copies of the root after a group of packages, so that the next build begins there.

build/NAME/checkpoints/
  3f0c6f2a9d1b.../         the root as it was then: what merging leaves behind is still in it
  3f0c6f2a9d1b....json     its record, written last: what is in the copy, by digest
  .new/                    a copy that is being made

A copy is never used where it lies: files are written to in place when packages are merged, so a build takes a copy
of it, and reads all of it on the way. Only if that is what the record says, the build goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quern.errors import DriverError
from quern.steps import receipt as receipts
from quern.steps.base import Run, discard

NEW = ".new"
KEY_DIGITS = 32  # of the 64 in a name


def chain(inputs: object, groups: Iterable[Sequence[str]]) -> list[str]:
    """The key of the root after each group: a digest of `inputs`, JSON values, and of all that was merged by then."""
    keys = []
    digest = json.dumps(inputs, sort_keys=True)
    for group in groups:
        digest = hashlib.sha256(json.dumps([digest, group]).encode()).hexdigest()
        keys.append(digest[:KEY_DIGITS])
    return keys


class Checkpoints(NamedTuple):
    """The copies of one image in `folder`; those with `keys`, in the order of merging, are this build's."""

    folder: Path
    keys: Sequence[str]
    run: Run

    def restore(self, root: Path, aside: Path) -> str | None:
        """Replace `root` by the last copy that is sound; returns its key, None if there is none.

        What was there goes to `aside`, a new name on the same file system.
        """
        for key in reversed(self.keys):
            if record := self._record(key):
                root.rename(aside)
                if self._restored(key, record, root):
                    return key
                discard(root, root.parent, self.run)
                aside.rename(root)
                self._drop(key)
        return None

    def keep(self, key: str, root: Path) -> None:
        """Copy `root`, if `key` is to be kept, and drop what is of no use any more.

        A copy that cannot be made costs the next build time, and this one nothing.
        """
        if key not in self.keys:
            return
        self.prune()
        try:
            self.folder.mkdir(exist_ok=True)
            made = self.run.driver.call("copy", source=str(root), target=str(self.folder / NEW))
            (self.folder / NEW).rename(self.folder / key)
            receipts.write_atomically(self._record_path(key), json.dumps(made) + "\n")
        except (DriverError, OSError) as error:
            self.run.say(f"Warning: no checkpoint was kept: {error}")
            self._drop(key)

    def prune(self) -> None:
        """Remove all but the copies of `keys` that are whole."""
        if self.folder.is_dir():
            whole = {key for key in self.keys if self._record(key)}
            for name in {path.name.removesuffix(".json") for path in self.folder.iterdir()} - whole:
                self._drop(name)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def finish(self) -> None:
        """Leave only copies of `keys`, and tell the user what they take."""
        self.prune()
        if found := [record["disk"] for key in self.keys if (record := self._record(key))]:
            self.run.say(f"Checkpoints: {len(found)}, {sum(found) / 1e6:.1f} MB in {self.folder}")

    def _record_path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _record(self, key: str) -> dict[str, Any] | None:
        """The record of a copy; None where there is none, or the copy is not there."""
        try:
            record = json.loads(self._record_path(key).read_bytes())
        except (OSError, ValueError):
            return None
        whole = isinstance(record, dict) and {"digest", "disk"} <= record.keys() and (self.folder / key).is_dir()
        return record if whole else None

    def _restored(self, key: str, record: dict[str, Any], root: Path) -> bool:
        copy = self.folder / key
        try:
            found = self.run.driver.call("copy", source=str(copy), target=str(root))
        except DriverError as error:
            self.run.say(f"Warning: the checkpoint {copy} is of no use: {error}")
            return False
        if found["digest"] != record["digest"]:
            self.run.say(f"Warning: the checkpoint {copy} is not what was kept there; it is made again")
            return False
        return True

    def _drop(self, name: str) -> None:
        """Remove a copy, its record first, and what was being made."""
        for path in (self._record_path(name), self.folder / name, self.folder / NEW):
            discard(path, self.folder, self.run)
