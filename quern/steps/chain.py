"""The steps of one image, made from its settings."""

from __future__ import annotations

import os
from collections.abc import Callable

from quern.drivers.base import Driver
from quern.errors import DriverError
from quern.portage import installation
from quern.portage.setup import Setup
from quern.project import Image
from quern.steps.base import Step
from quern.steps.image import ImageStep
from quern.steps.packages import PackagesStep
from quern.steps.portage import PortageStep
from quern.steps.root import RootStep
from quern.steps.strip import StripStep
from quern.steps.tarball import TarballStep
from quern.steps.trial import TrialStep

STEPS: tuple[type[Step], ...] = (PortageStep, PackagesStep, RootStep, StripStep, TarballStep, ImageStep)

TASKS: tuple[type[Step], ...] = (*STEPS, TrialStep)  # the last is no part of making an image


def setup_of(image: Image) -> Setup:
    """The Portage side of `image`: the tools are this machine's, unless it is built in a container."""
    setup = Setup(image, os.environ.get("PATH", os.defpath))
    return setup._replace(path="") if setup.in_container else setup


def steps_of(image: Image) -> tuple[Step, ...]:
    """The steps of `image`, in order; reads nothing from disk."""
    setup = setup_of(image)
    keep = image.settings.build.keep_failed
    return (
        PortageStep(image.work, keep, setup),
        PackagesStep(image.work, keep, setup),
        RootStep(image.work, keep, setup),
        StripStep(image.work, keep, image),
        TarballStep(image.work, keep, image),
        ImageStep(image.work, keep, setup),
    )


def trial_of(image: Image) -> TrialStep:
    """The tests of `image`."""
    return TrialStep(image.work, image.settings.build.keep_failed, image)


def driver_of(image: Image, say: Callable[[str], None]) -> Driver:
    """Where the image's commands run; `say` takes a line for the user. Raises ConfigError."""
    if image.settings.build.driver == "docker":
        from quern.drivers.builder import checked
        from quern.drivers.docker import DockerDriver

        checked(image.settings.docker)
        return DockerDriver(setup_of(image), say)
    from quern.drivers.raw import RawDriver

    try:
        python = str(installation.find(os.environ.get("PATH", os.defpath)).python)
        return RawDriver(python, image.settings.build.confine, say)
    except DriverError:
        return RawDriver()  # steps after `root` do without Portage; the others raise this error themselves
