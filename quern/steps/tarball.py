"""tarball:NAME: the stripped root as one compressed tar, the same bytes for the same tree.

build/NAME/tarball/image.tar.gz
OUTDIR/image-NAME-YYYY-MM-DD.tar.gz      a hard link to it
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from quern.compress import identity
from quern.errors import BuildError, display
from quern.project import Image, is_profile_file
from quern.steps import receipt as receipts
from quern.steps.base import Made, Run, Step, megabytes

BEFORE_ZIP = "Warning: {origin} is {epoch}, before 1980: no zip file can hold the times of the image's files"
SUFFIX = {"gzip": "gz", "zstd": "zst"}


@dataclass(frozen=True, eq=False, repr=False)
class TarballStep(Step):
    """Packs the stripped root."""

    name: ClassVar[str] = "tarball"
    doc: ClassVar[str] = "pack the tarball of"

    image: Image

    @property
    def file(self) -> str:
        """The tarball's name in the output folder, which does not depend on the day."""
        return f"image.tar.{SUFFIX[self.image.settings.build.compression]}"

    def files(self) -> list[Path]:
        """The stripped root's digest."""
        return [self.place.beside("strip").digest]

    def inputs(self) -> dict[str, Any]:
        """The stripped root, the compressor and its version, the declared time, the names."""
        build = self.image.settings.build
        return {
            "strip": self.place.beside("strip").digest_text(),
            "compressor": identity(build.compression),
            "source_date_epoch": build.source_date_epoch,
            "outdir": str(self.image.outdir),
            "output_name": self.image.output_name,
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Pack, and decide the day of the file's name."""
        from quern.packing import pack
        from quern.portage.emerge import PACKAGE_EPOCH

        build = self.image.settings.build
        source = self.place.beside("strip").output / "image"
        epoch = self._epoch()
        if epoch < PACKAGE_EPOCH:
            run.say(BEFORE_ZIP.format(origin=self._origin(), epoch=epoch))
        packed = pack(run.driver, source, staging / self.file, build.compression, epoch)
        info = {**packed, "epoch": epoch, "date": self._date(packed["digest"])}
        run.say(f"Collecting image at {next(iter(self.published(info)))}")
        return Made(info, packed["digest"])

    def made(self, receipt: receipts.Receipt) -> str:
        """Its size and where it is."""
        return f"{megabytes(receipt.info['size'])}, {display(next(iter(self.published(receipt.info))))}"

    def published(self, info: Mapping[str, Any]) -> dict[Path, str]:
        """The dated name in outdir."""
        suffix = SUFFIX[self.image.settings.build.compression]
        return {self.image.outdir / f"image-{self.image.output_name}-{info['date']}.tar.{suffix}": self.file}

    def _epoch(self) -> int:
        """The time of every entry, in seconds: the declared one, else that of the newest file of its configuration
        and its profile folder.

        Never the clock's. Part of the key only when declared: touching a file is not a change.
        """
        declared = self.image.settings.build.source_date_epoch
        if declared is not None:
            return declared
        files = [*self.image.settings.sources]
        try:
            if self.image.folder and self.image.settings.build.profile is None:
                own = [path for path in self.image.folder.iterdir() if path.is_file() and path.name[0] != "."]
                files += [path for path in own if is_profile_file(path.name)]  # a lock is written by builds
            return max((int(path.stat().st_mtime) for path in files), default=0)
        except FileNotFoundError as error:
            raise BuildError(f"{error.filename} was removed while {self.image.name} was built") from None

    def _origin(self) -> str:
        """Where the time of every entry is from, for a message."""
        place = dict(self.image.settings.origins).get("build.source_date_epoch")
        return f"{place}: build.source_date_epoch" if place else "the time of the newest file of the configuration"

    def _date(self, digest: str) -> str:
        """The content's day, YYYY-MM-DD in UTC: the declared one, else the day on which these bytes were first made."""
        declared = self.image.settings.build.source_date_epoch
        former = receipts.read(self.place.receipt)
        if declared is None and former is not None and former.digest == digest:
            return str(former.info["date"])
        return time.strftime("%Y-%m-%d", time.gmtime(declared if declared is not None else time.time()))


def tarball_of(image: Image) -> tuple[Path, Mapping[str, Any]]:
    """The finished tarball and what its step noted: digest, diff_id, sizes in bytes, epoch, date."""
    place = receipts.Place(image.work, TarballStep.name)
    receipt = receipts.read(place.receipt)
    if receipt is None:
        raise FileNotFoundError(os.fspath(place.receipt))
    return place.output / TarballStep(image.work, True, image).file, receipt.info
