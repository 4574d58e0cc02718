"""What an image would consist of now, without building anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quern.project import Image
from quern.steps.base import Run, discard
from quern.steps.chain import setup_of
from quern.steps.emerging import Build
from quern.steps.lock import locked
from quern.steps.packages import PackagesStep
from quern.steps.receipt import Place
from quern.steps.resolution import resolve
from quern.steps.work import claim

if TYPE_CHECKING:
    from quern.portage.plan import Plan


def resolved(image: Image, run: Run) -> Plan:
    """What `image` consists of, resolved from source aside from its steps' outputs; `portage` must be up to date.

    Raises BuildError if there is no solution.
    """
    setup = setup_of(image)
    claim(image.work)
    place = Place(image.work, "resolve")
    with locked(image.work / "lock", run.say):
        discard(place.staging, place.work, run)
        place.staging.mkdir()
        place.log.parent.mkdir(exist_ok=True)
        try:
            build = Build(setup, run, place.staging, place.beside("portage").output, place.log)
            build.prepare()
            return resolve(build, PackagesStep(image.work, image.settings.build.keep_failed, setup).targets()).plan
        finally:
            discard(place.staging, place.work, run)
