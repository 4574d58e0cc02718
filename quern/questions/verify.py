"""verify:NAME: build the image once more, from source and in another place, and say whether it is the same.

build/NAME/verify/                  for this user alone; removed if both are the same, else kept
  elsewhere/NAME/                   the second work folder: its path is longer
  binpkgs/                          its store of binary packages, empty at first
  images/

Only sources are shared. What was built before is not touched, and nobody else touches it meanwhile: its folder is
locked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from quern.errors import BuildError, QuernError, display
from quern.project import Image
from quern.questions.explain import explain
from quern.steps import receipt as receipts
from quern.steps.base import Run, discard, run_step
from quern.steps.chain import driver_of, steps_of
from quern.steps.lock import locked
from quern.steps.packages import LOCK
from quern.steps.tarball import tarball_of

FOLDER = "verify"
SHOWN = 40  # differing files that are told

MOVED = "{image} is not what would be built now ({step}: {reason}); `doit image:{image}` first"
DAMAGED = "{tarball} is not what was built there; `doit clean tarball:{image}`, then build it again"
DIFFERS = "{image} does not come out the same ({parts}); the second build is kept in {place}"


class Result(NamedTuple):
    """What a build has come to, by digest."""

    tarball: str
    image_id: str


def answer(image: Image, run: Run) -> None:
    """Build again and say "identical", or what of which package differs; raise BuildError then, or if it fails."""
    place = image.work / FOLDER
    if not image.work.is_dir():  # the lock would be the first thing there
        _check_current(image)
    with locked(image.work / "lock", run.say):
        _check_current(image)
        before = _result(image)
        discard(place, image.work, run)
        place.mkdir(mode=0o700)
        second = _elsewhere(image, place)
        there = Run(driver_of(second, run.say), run.say)
        try:
            for step in steps_of(second):
                run_step(step, there)
        except QuernError:
            run.say(f"The second build is in {display(place)}")
            raise
        after = _result(second)
        if before != after:
            for line in _differences(image, second, run):
                run.say(line)
            parts = [name for name, value in before._asdict().items() if value != getattr(after, name)]
            words = " and ".join(parts).replace("_", " ")
            raise BuildError(DIFFERS.format(image=image.name, parts=words, place=display(place)))
        there.driver.clear()
        discard(place, image.work, run)
    run.say(f"identical: tarball {before.tarball}, image id {before.image_id}")


def _check_current(image: Image) -> None:
    """Refuse to compare with what would not be built now anyway. Raises BuildError."""
    asked = image.settings.postbuild._replace(engines="none")  # whether it is loaded is no matter
    for verdict in explain(image._replace(settings=image.settings._replace(postbuild=asked))):
        if verdict.state != "up to date":
            reason = verdict.reasons[0].splitlines()[0]
            raise BuildError(MOVED.format(image=image.name, step=verdict.step, reason=reason))


def _result(image: Image) -> Result:
    """What a finished build has come to. Raises BuildError if its tarball is not what it was."""
    tarball, packed = tarball_of(image)
    if not tarball.is_file() or _digest(tarball) != packed["digest"]:
        raise BuildError(DAMAGED.format(tarball=display(tarball), image=image.name))
    made = receipts.read(receipts.Place(image.work, "image").receipt)
    assert made is not None  # it is up to date
    return Result(packed["digest"], made.info["ids"][0])


def _digest(file: Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            found.update(piece)
    return f"sha256:{found.hexdigest()}"


def _elsewhere(image: Image, place: Path) -> Image:
    """The same image in the folder `place`: with the same sources and time, held to what was resolved before."""
    settings = image.settings
    packed = tarball_of(image)[1]
    settings = settings._replace(
        portage=settings.portage._replace(binpkg=place / "binpkgs", distfiles=image.distfiles, binhost=()),
        emerge=settings.emerge._replace(ask=False),
        build=settings.build._replace(
            lock=settings.build.lock or image.work / "packages" / LOCK,
            locked=True,
            outdir=place / "images",
            source_date_epoch=packed["epoch"],  # of files that were touched since, the time may be another one
        ),
        postbuild=settings.postbuild._replace(engines="none"),
    )
    return image._replace(work=place / "elsewhere" / image.work.name, settings=settings)


def _differences(image: Image, second: Image, run: Run) -> Iterator[str]:
    """Which files of which package differ, a line a file, and how many more."""
    works = [str(each.work) for each in (image, second)]
    found = run.driver.call(
        "compare",
        one=f"{works[0]}/strip/image",
        other=f"{works[1]}/strip/image",
        databases=[f"{work}/root/image" for work in works],
    )["differences"]
    for difference in found[:SHOWN]:
        yield _line(difference)
    if len(found) > SHOWN:
        rest = {difference["package"] for difference in found[SHOWN:]}
        yield f"and {len(found) - SHOWN} more, of {', '.join(sorted(package or 'no package' for package in rest))}"
    if not found:
        yield "every file is the same: it was packed or configured in another way"


def _line(difference: Mapping[str, str]) -> str:
    path = display(Path(difference["path"]))
    shown = path if path.isprintable() else repr(path)
    return f"{difference['package'] or 'no package'}: {shown}: {difference['what']}"
