"""The root step, from nothing, against `emerge --usepkgonly` by hand on the same packages."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from quern.project import Image, project_images
from quern.steps.base import Run, run_step
from quern.steps.chain import driver_of, steps_of
from quern.steps.root import RootStep
from tests.merging import emerge, emerging, normalise, rows

LIMIT = 0.15


class Times(NamedTuple):
    """What a run has taken; a busy machine changes the second less."""

    clock: float
    processors: float


def root(project: Path, name: str, rounds: int) -> None:
    """Compare the root of a project's image. Its packages must have been built."""
    (image,) = (image for image in project_images(project.resolve(), os.environ) if image.name == name)
    against_emerge(image, rounds, LIMIT)


def against_emerge(image: Image, rounds: int, limit: float) -> None:
    """Print the medians of both, which take turns, and of their ratios; exit if the roots are not the same."""
    (step,) = (step for step in steps_of(image) if isinstance(step, RootStep))
    folder = image.work / "by-emerge"
    times: list[tuple[Times, Times]] = []
    for number in range(rounds):
        for path in (step.place.output, folder, step.place.log.with_suffix("")):
            if path.exists():  # to remove it now would cost those who make files (ext4 without a journal)
                path.rename(image.work / f"former-{number}-{path.parent.name}-{path.name}")
        step.place.receipt.unlink(missing_ok=True)
        ours = timed(lambda: run_step(step, Run(driver_of(step.setup.image, _quiet), _quiet)))
        build = emerging(image, folder)
        times.append((ours, timed(lambda: emerge(build))))  # noqa: B023 (called here)
        normalise(build.root)
    differing = _differing(rows(step.place.output / "image"), rows(folder / "image"))
    for path in (folder, *image.work.glob("former-*")):
        shutil.rmtree(path)
    if differing:
        sys.exit("not the same root:\n" + "\n".join(differing))
    for number, unit in enumerate(Times._fields):
        pairs = [(ours[number], theirs[number]) for ours, theirs in times]
        mine, emerges = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"root of {image.name}, seconds of {unit}: {mine:.2f}, by emerge {emerges:.2f}")
        print(f"  ratio {ratio:.3f}, limit {limit} ({rounds} rounds)")


def _differing(ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def timed(action: Callable[[], object]) -> Times:
    """What `action` and the processes that it waits for take."""
    before = _now()
    action()
    return Times(*(after - earlier for after, earlier in zip(_now(), before, strict=True)))


def _now() -> Times:
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Times(time.perf_counter(), ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime)


def _quiet(line: str) -> None:
    pass
