"""What quern has made in the folders of a project that no image needs any more.

    build/NAME/.STEP.new, .STEP.old     left by a build that failed or was killed, or
    build/NAME/verify/                  that gave something else than the first
    build/NAME/.try.*.new               of a `doit try:NAME` that was killed
    build/NAME/                         of an image that the project no longer has
    build/binpkgs/                      packages that no image's last build has, nor its next would
    build/distfiles/                    sources of none of these that quern has fetched

The last three only where the folder is the project's own, that is, in its folder: one elsewhere may serve others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from quern.fetching.folder import PARTIAL, RECORD
from quern.portage.package_index import parse_stanza
from quern.portage.store import SUFFIX, Store
from quern.project import Image
from quern.questions.needs import Needs
from quern.questions.verify import FOLDER as VERIFY
from quern.steps import copies
from quern.steps import receipt as receipts
from quern.steps.chain import TASKS
from quern.steps.receipt import Place
from quern.worker import regular

LEFT = "left by builds that failed, were killed, or did not verify"
GONE = "of images that the project does not have, or has elsewhere now"
PACKAGE = "binary packages of no image's last or next build"
SOURCE = "sources of no image's last or next build"
LOCK = "lock"
CHECKPOINTS = "checkpoints"  # of an earlier version


class Unneeded(NamedTuple):
    """Something to remove: `paths`, in this order, all below the folder `within`.

    `name` is what it is called, a path that may stand for all of them; `image` is the one whose it is, if any.
    """

    name: str
    why: str
    paths: Sequence[Path]
    within: Path
    image: Image | None = None


def is_own(folder: Path, image: Image) -> bool:
    """Whether a folder is the project's own: in its folder, and no link, nor behind one to somewhere else."""
    inside = Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(image.base))
    return inside and folder.is_dir() and not folder.is_symlink()


def left_over(image: Image) -> Iterator[Unneeded]:
    """What builds of `image` have left that did not come to their end."""
    places = [Place(image.work, name) for name in (*(step.name for step in TASKS), "resolve")]
    paths = [path for place in places for path in (place.staging, place.aside)]
    paths += [path for place in places for path in sorted(image.work.glob(f".{place.step}.*.new"))]
    paths += [*(image.work / name for name in (VERIFY, CHECKPOINTS)), *copies.left(image.work)]
    for path in paths:
        if os.path.lexists(path):
            yield Unneeded(str(path), LEFT, [path], image.work, image)


def gone(images: Sequence[Image]) -> Iterator[Unneeded]:
    """Work folders, in those of the project, of images that it does not have."""
    shared = {folder for image in images for folder in (image.work, image.binpkgs, image.distfiles)}
    for parent in dict.fromkeys((images[0].base / "build", *(image.work.parent for image in images))):
        for work in sorted(parent.iterdir()) if parent.is_dir() else ():
            if work not in shared and is_own(work, images[0]) and (made := _made_in(work)):
                yield Unneeded(str(work), GONE, made, work)


def _made_in(work: Path) -> list[Path]:
    """What quern has made in a work folder; nothing if it does not look like one.

    Receipts first, so that no half of an output is ever taken for all of it; last what shows that the folder is ours.
    """
    places = [Place(work, step.name) for step in TASKS]
    paths = [path for place in places for path in (place.receipt, place.former_receipt)]
    if not (work / LOCK).is_file() or not any([*map(receipts.read, paths), *(place.digest_text() for place in places)]):
        return []
    paths += [path for place in places for path in (place.output, place.staging, place.aside)]
    paths += [path for place in places for path in sorted(work.glob(f".{place.step}.*.new"))]
    paths += [work / "host", work / "logs", work / VERIFY, work / CHECKPOINTS, Place(work, "resolve").staging]
    paths += [*(place.digest for place in places), work / LOCK]
    return [path for path in dict.fromkeys(paths) if os.path.lexists(path)]


def packages(folder: Path, needed: Iterable[Needs]) -> Iterator[Unneeded]:
    """The binary packages in the store `folder` that nobody needs, and copies that were never finished."""
    needed = list(needed)
    names = {name for each in needed for name in each.packages}
    built = {row for each in needed for row in each.built}

    def is_built(paths: Sequence[Path]) -> bool:
        record = next((path for path in paths if path.suffix == ".index"), None)
        stanza = parse_stanza(record.read_text("utf-8", errors="replace")) if record else {}
        return (stanza.get("CPV", ""), stanza.get("SHA1", "")) in built

    for stem, paths in Store(folder).packages().items():
        whole = [path for path in paths if not path.name.endswith(".new")]
        for path in paths:
            if path not in whole:
                yield Unneeded(str(path), LEFT, [path], path.parent)
        if whole and stem not in names and not is_built(whole):
            ending = f".{{{SUFFIX[1:]},index}}" if len(whole) == 2 else whole[0].name[len(stem.split("/")[1]) :]
            yield Unneeded(f"{folder / stem}{ending}", PACKAGE, whole, whole[0].parent)


def sources(folder: Path, needed: Iterable[Needs]) -> Iterator[Unneeded]:
    """The sources in `folder` that quern has fetched and nobody needs, whole or cut short.

    What it has no record of may be a user's, of a package whose sources nobody may fetch for him say.
    """
    names = {name for each in needed for name in each.sources}
    fetched = _fetched(folder)
    for path in sorted(folder.iterdir()):
        name, state = path.name.removesuffix(PARTIAL), path.lstat()
        ours = name != path.name or f"{state.st_ino} {state.st_mtime_ns} {name}" in fetched
        if ours and name not in names and stat.S_ISREG(state.st_mode):
            yield Unneeded(str(path), SOURCE, [path], folder)


def _fetched(folder: Path) -> set[str]:
    """What quern has fetched into `folder`, as the lines of its record: no other file is, even under the same name."""
    try:
        return set(regular.text(folder / RECORD).split("\n"))
    except OSError:
        return set()
