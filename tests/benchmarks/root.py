"""The root step from nothing, from its last checkpoint, and after a change of the first package."""

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

LIMITS = {"last package changed": 0.2, "first package changed": 1.05}


class Times(NamedTuple):
    """What a run has taken; a busy machine changes the second less."""

    clock: float
    processors: float


def root(project: Path, name: str, rounds: int) -> None:
    """Print the medians of all kinds, which take turns, and the ratios that are promised.

    The packages of the image must have been built. What a change of the last package leaves to do is the same
    whatever has changed in it; after one of the first the copies are there, and are of no use.
    """
    kept, none = (_step(project.resolve(), name, number) for number in ("2", "0"))
    folder = kept.work / kept.folders[0]

    def another_first() -> None:
        for path in list(folder.iterdir()):  # copies that are no beginning of this root any more
            path.rename(folder / f"{'0' * 8}{path.name[8:]}")

    kinds: dict[str, tuple[RootStep, Callable[[], object]]] = {
        "no checkpoints": (none, lambda: None),
        "fresh": (kept, lambda: shutil.rmtree(folder, ignore_errors=True)),
        "last package changed": (kept, lambda: None),
        "first package changed": (kept, another_first),
    }
    times: dict[str, list[Times]] = {kind: [] for kind in kinds}
    digests = set()
    for _ in range(rounds):
        for kind, (step, before) in kinds.items():
            before()
            times[kind].append(_again(step))
            digests.add(step.place.digest_text())
    if len(digests) != 1:
        sys.exit(f"not the same bytes: {digests}")
    for number, unit in enumerate(Times._fields):
        columns = {kind: [each[number] for each in rows] for kind, rows in times.items()}
        figures = ", ".join(f"{kind} {statistics.median(column):.2f}" for kind, column in columns.items())
        print(f"root of {name}, seconds of {unit}: {figures} ({rounds} rounds)")
        for kind, against in (("last package changed", "fresh"), ("first package changed", "no checkpoints")):
            ratio = statistics.median(ours / yard for ours, yard in zip(columns[kind], columns[against], strict=True))
            print(f"  {kind} / {against}: ratio {ratio:.2f}, limit {LIMITS[kind]}")


def _step(project: Path, name: str, checkpoints: str) -> RootStep:
    images = project_images(project, {**os.environ, "QUERN_BUILD_CHECKPOINTS": checkpoints})
    (image,) = (image for image in images if image.name == name)
    (step,) = (step for step in steps_of(image) if isinstance(step, RootStep))
    return step


def _again(step: RootStep) -> Times:
    """Run a step that has nothing but its checkpoints to begin with."""
    step.place.receipt.unlink(missing_ok=True)
    before = _now()
    run_step(step, Run(driver_of(step.setup.image, _quiet), _quiet))
    return Times(*(after - earlier for after, earlier in zip(_now(), before, strict=True)))


def _now() -> Times:
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return Times(time.perf_counter(), ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime)


def _quiet(line: str) -> None:
    pass
