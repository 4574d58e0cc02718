"""The receipt of a step: what it was made from and what came out, kept beside the output.

    build/NAME/
      packages/           the output
      packages.digest     one line, the output's digest: a target here, a file_dep of the next step
      packages.json       the receipt
      .packages.new/      staging, left where a build failed

The receipt on disk alone decides whether a step is finished; doit's database never does, because it is written
once, when doit ends, and knows nothing of a run that was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from quern.errors import naming

FORMAT = 3  # of the receipt file; another one is read as "no receipt", so the step runs again


class Receipt(NamedTuple):
    """What a finished step wrote down.

    `inputs` are the values the key was made of, `digest` that of the output (`sha256:...`), `info` what the step
    tells later steps (sizes in bytes, dates), `made` every path outside the work folder that it has written, with size
    and time (nanoseconds) of what it put there: another image may have taken the name since.
    """

    key: str
    inputs: Mapping[str, Any]
    digest: str
    boot_id: str
    info: Mapping[str, Any]
    made: Mapping[str, Sequence[int]] = {}


class Place(NamedTuple):
    """The paths of one step, all siblings in the image's work folder, derived here and nowhere else."""

    work: Path
    step: str

    @property
    def output(self) -> Path:
        """The step's finished output, a folder."""
        return self.work / self.step

    @property
    def targets(self) -> list[str]:
        """What a finished step leaves in the work folder, spelt for doit: output, digest and receipt.

        Text, because a project of a hundred images has as many of these at every start.
        """
        stem = f"{self.work}/{self.step}"
        return [stem, f"{stem}.digest", f"{stem}.json"]

    @property
    def staging(self) -> Path:
        """Where a build writes before it is renamed to `output`."""
        return self.work / f".{self.step}.new"

    @property
    def aside(self) -> Path:
        """The former output on its way out."""
        return self.work / f".{self.step}.old"

    @property
    def receipt(self) -> Path:
        """The receipt, JSON."""
        return self.work / f"{self.step}.json"

    @property
    def former_receipt(self) -> Path:
        """The last receipt while there is no new one: it alone knows what was made outside the work folder."""
        return self.work / f".{self.step}.json.old"

    @property
    def digest(self) -> Path:
        """The one-line file that the next step depends on."""
        return self.work / f"{self.step}.digest"

    @property
    def log(self) -> Path:
        """The full log of the step's last build."""
        return self.work / "logs" / f"{self.step}.log"

    @property
    def times(self) -> Path:
        """How long builds of the step took."""
        return self.work / "logs" / f"{self.step}.times"

    def beside(self, step: str) -> Place:
        """The place of another step of the same image."""
        return Place(self.work, step)

    def digest_text(self) -> str:
        """The output's digest as the next step reads it; empty while there is none."""
        try:
            return self.digest.read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return ""


def boot_id() -> str:
    """This boot's identity (random(4), /proc/sys/kernel/random/boot_id), empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def read(path: Path) -> Receipt | None:
    """The receipt at `path`; None where there is none, or it is damaged or of another format."""
    try:
        data = json.loads(path.read_bytes())
        if data.pop("format") != FORMAT or data.pop("check") != _check(data):
            return None
        return Receipt(**data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def of_one_build(work: Path, steps: Sequence[str]) -> dict[str, Receipt] | None:
    """The receipts of `steps`, each made from the one before; None where one is missing, or made from another."""
    found = {name: read(Place(work, name).receipt) for name in steps}
    made = {name: receipt for name, receipt in found.items() if receipt}
    if len(made) < len(steps):
        return None
    return made if all(made[up].inputs[down] == made[down].digest for down, up in pairwise(steps)) else None


def write(path: Path, receipt: Receipt) -> None:
    """Put `receipt` at `path`, whole or not at all."""
    data = json.loads(json.dumps(receipt._asdict()))  # as it will be read
    data |= {"format": FORMAT, "check": _check(data)}
    write_atomically(path, json.dumps(data, indent=1, sort_keys=True) + "\n")


def _check(data: Mapping[str, Any]) -> str:
    """A digest of the rest of a receipt: one that was damaged, or edited, is none."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Put `text` at `path` by fsync and rename, so that a kill leaves the former content or this one."""
    temporary = path.with_name(f".{path.name}.new")
    with naming(temporary), temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove the file at `path`, if there is one, and make that durable."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_file_system(folder: Path) -> None:
    """Make all that was written to the file system of `folder` durable (syncfs(2)); other disks are not waited for."""
    import ctypes

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (fsync(2) on a directory)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
