"""The root step, against `emerge --usepkgonly` by hand on the same packages."""

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

from quern.project import project_images
from quern.steps.base import Run, run_step
from quern.steps.chain import driver_of, steps_of
from quern.steps.root import RootStep
from tests.merging import by_emerge, rows

LIMIT = 0.15  # 0.4 where half of the packages have phases


class Times(NamedTuple):
    """What a run has taken; a busy machine changes the second less."""

    clock: float
    processors: float


def root(project: Path, name: str, rounds: int) -> None:
    """Print the medians of both, which take turns, and their ratio. The packages of the image must have been built."""
    images = project_images(project.resolve(), os.environ)
    (image,) = (image for image in images if image.name == name)
    (step,) = (step for step in steps_of(image) if isinstance(step, RootStep))
    folder = image.work / "by-emerge"
    times: list[tuple[Times, Times]] = []
    for _ in range(rounds):
        ours = _timed(lambda: _again(step))
        shutil.rmtree(folder, ignore_errors=True)
        times.append((ours, _timed(lambda: by_emerge(image, folder))))
    differing = _differing(rows(step.place.output / "image"), rows(folder / "image"))
    shutil.rmtree(folder)
    if differing:
        sys.exit("not the same root:\n" + "\n".join(differing))
    for number, unit in enumerate(Times._fields):
        pairs = [(ours[number], theirs[number]) for ours, theirs in times]
        mine, emerges = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        print(f"root of {name}, seconds of {unit}: {mine:.2f}, by emerge {emerges:.2f}")
        print(f"  ratio {ratio:.3f}, limit {LIMIT}")


def _differing(ours: dict[str, tuple[object, ...]], theirs: dict[str, tuple[object, ...]]) -> list[str]:
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def _again(step: RootStep) -> None:
    """Run a step that was done."""
    step.place.receipt.unlink(missing_ok=True)
    run_step(step, Run(driver_of(step.setup.image, _quiet), _quiet))


def _timed(action: Callable[[], object]) -> Times:
    before = _now()
    action()
    return Times(*(after - earlier for after, earlier in zip(_now(), before, strict=True)))


def _now() -> Times:
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Times(time.perf_counter(), ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime)


def _quiet(line: str) -> None:
    pass
