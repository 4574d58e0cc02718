"""What quern says: would it run packages:NAME? The only module that knows how that is decided."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from quern.drivers.raw import RawDriver
from quern.errors import QuernError
from quern.portage import watch
from quern.portage.keys import tree_digest
from quern.project import Image
from quern.steps.base import Run
from quern.steps.chain import steps_of
from quern.steps.emerging import Build
from quern.steps.packages import WATCH
from quern.steps.resolution import resolve
from tests.projects import Said, run, source_build

Row = list[Any]  # of the record: path, what was there, and its times where they can be trusted


class Observation(NamedTuple):
    """What the steps recorded when the image was resolved."""

    image: Image
    portage: Mapping[str, Any]
    packages: Mapping[str, Any]

    @property
    def record(self) -> Path:
        """What of the repositories is watched."""
        return steps_of(self.image)[1].place.output / WATCH


def unconfined(image: Image) -> Build:
    """The means to resolve it; not confined, since links in the trees lead to folders that nothing declares."""
    return replace(source_build(image), run=Run(RawDriver(), Said()))


def observe(image: Image) -> Observation:
    """Resolve the image as its packages step does, and keep what that step would."""
    build = unconfined(image)
    plan, seen, now = resolve(build, build.setup.sets())
    assert plan.packages
    portage, packages = steps_of(image)[:2]
    packages.place.output.mkdir(exist_ok=True)
    watch.write(packages.place.output / WATCH, seen, now)
    return Observation(image, portage.inputs(), packages.inputs())


def unchanged(observation: Observation) -> bool:
    """Whether neither step has anything to do, or the first gives the second what it gave it before."""
    portage, packages = steps_of(observation.image)[:2]
    try:
        if portage.inputs() != observation.portage and _gives_another_root(observation.image):
            return False
        return packages.inputs() == observation.packages
    except (QuernError, OSError):
        return False


def _gives_another_root(image: Image) -> bool:
    portage = steps_of(image)[0]
    staging = portage.place.work / "other-portage"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    portage.build(staging, run())
    return tree_digest(staging) != tree_digest(portage.place.output)


def weaker(observation: Observation, name: str, keep: Callable[[Row], bool]) -> Callable[[], bool]:
    """A decision by a record that has only the rows to `keep`: what it would miss shows what the others are for."""
    data = json.loads(observation.record.read_bytes())
    record = observation.record.with_name(f"{name}.json")
    record.write_text(json.dumps({**data, "watched": [row for row in data["watched"] if keep(row)]}))
    return lambda: not watch.changes(record)
