"""What is in a finished image and whose it is, from metadata alone: no content is read.

build/NAME/strip/image/            what is in the image
build/NAME/root/image/var/db/pkg/  which package each file is of, from before anything was stripped
build/NAME/strip.json              what each strip rule has taken out
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from quern.errors import BuildError, QuernError
from quern.project import Image
from quern.questions.base import read_tree
from quern.steps import receipt as receipts
from quern.steps.base import Run, Step, key_of
from quern.steps.chain import steps_of
from quern.steps.present import has_parts
from quern.steps.receipt import Receipt
from quern.worker.inventory import sizes

NOBODY = ""  # in place of the package of a file that no package owns


class File(NamedTuple):
    """Something in an image that is no folder.

    `path` is absolute in the image; `size` is in bytes, 0 for a link, or for the further names of a file with several;
    `package` is its cpv.
    """

    path: bytes
    size: int
    package: str


class Volume(NamedTuple):
    """So many bytes in so many files."""

    size: int
    files: int


class Measured(NamedTuple):
    """An image, measured.

    `packages` are all that were installed, biggest first, those of which nothing is left included; `rules` and
    `removed` are the strip step's own figures (see `clone` in worker/trees.py). `tarball` is in bytes, None where there
    is none of this tree; `is_current` says whether nothing that it is made from has changed since, None where that
    cannot be told.
    """

    files: list[File]
    packages: dict[str, Volume]
    rules: list[Mapping[str, Any]]
    removed: Mapping[str, int]
    tarball: int | None
    is_current: bool | None

    @property
    def total(self) -> Volume:
        """All of it."""
        return Volume(sum(file.size for file in self.files), len(self.files))

    def folders(self) -> dict[bytes, Volume]:
        """What is in each folder of the image and below, but for its root; biggest first."""
        return volumes(self.files, _above)

    def biggest(self) -> list[File]:
        """The files, biggest first."""
        return sorted(self.files, key=lambda file: (-file.size, file.path))


def measure(image: Image, run: Run) -> Measured:
    """Measure the last finished build of `image`. Raises BuildError if there is none, and DriverError."""
    steps = {step.name: step for step in steps_of(image)}
    made = {name: receipts.read(step.place.receipt) for name, step in steps.items()}
    root, strip = made["root"], made["strip"]
    if not root or not strip or not (has_parts(steps["root"], root) and has_parts(steps["strip"], strip)):
        raise BuildError(f"{image.name}: there is no finished build to look at; `doit image:{image.name}` makes one")
    try:
        whole, stripped = (str(steps[name].place.output / "image") for name in ("root", "strip"))
        answer = read_tree(run, sizes, root=stripped, database=whole)
    except FileNotFoundError:
        raise BuildError(f"{image.name} is being built anew; ask again when that is over") from None
    files = [File(os.fsencode(path), size, package) for path, size, package in answer["files"]]
    found = volumes(files, lambda file: [file.package])
    lost = {package: Volume(0, 0) for package in answer["packages"] if package not in found}
    tarball = made["tarball"]
    return Measured(
        files,
        {**found, **lost},
        strip.info["rules"],
        strip.info["removed"],
        tarball.info["size"] if tarball and tarball.inputs["strip"] == strip.digest else None,
        _is_current((steps[name], made[name]) for name in ("portage", "packages", "root", "strip")),
    )


def _is_current(made: Iterable[tuple[Step, Receipt | None]]) -> bool | None:
    try:
        return all(receipt is not None and receipt.key == key_of(step.inputs(), step) for step, receipt in made)
    except (QuernError, OSError):  # no daemon to ask, say
        return None


def volumes(files: Iterable[File], keys: Callable[[File], Iterable[Any]]) -> dict[Any, Volume]:
    """What the files come to by each of their `keys`, biggest first."""
    sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for file in files:
        for key in keys(file):
            row = sums[key]
            row[0] += file.size
            row[1] += 1
    rows = sorted(sums.items(), key=lambda row: (-row[1][0], row[0]))
    return {key: Volume(*row) for key, row in rows}


def spelt(name: bytes | str) -> str:
    """A name out of an image, fit to be shown anywhere: what is no printable character, or no UTF-8, is escaped."""
    text = os.fsencode(name).replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _above(file: File) -> list[bytes]:
    parts = file.path.split(b"/")
    return [b"/".join(parts[:end]) for end in range(2, len(parts))]
