"""Images to test with: made of real files and read by quern's own configuration, with the driver they would get."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from quern import config
from quern.drivers.raw import RawDriver
from quern.portage import emerge
from quern.portage.plan import Plan
from quern.portage.setup import Setup
from quern.project import Image
from quern.steps.base import Run, run_step
from quern.steps.chain import steps_of
from quern.steps.emerging import Build

DATA = Path(__file__).parent / "data"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write `files` (path below `folder`: text), and give `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def image_of(file: Path, work: Path, environ: Mapping[str, str] | None = None) -> Image:
    """The image of a configuration file that names its profile (build.profile), and nothing of /etc."""
    settings = config.load([file], environ or {}, file.parent)
    return Image(file.stem, settings, file.parent, None, work)


def overlay_image(folder: Path, work: Path) -> Image:
    """The image of a project's folder profiles/NAME."""
    base = folder.parent.parent
    settings = config.load([folder / "quern.conf"], {}, base)
    return Image(folder.name, settings, base, folder.parent, work)


class Said:
    """Collects what is said to the user."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)


def run(said: Said | None = None) -> Run:
    """A run on this machine."""
    said = said or Said()
    return Run(RawDriver(confine="auto", say=said), said)


def source_build(image: Image, path: str = os.environ["PATH"]) -> Build:
    """Run the image's portage step, and prepare to resolve from source as its packages step does.

    `path` is the search path for the machine's tools.
    """
    where = run()
    portage = steps_of(image)[0]
    run_step(portage, where)
    staging = image.work / "resolving"
    shutil.rmtree(staging, ignore_errors=True)
    build = Build(Setup(image, path), where, staging, portage.place.output, image.work / "logs/resolving.log")
    build.prepare()
    return build


def source_plan(image: Image) -> Plan:
    """What would be built from source for an image with nothing built."""
    build = source_build(image)
    return build.plan(emerge.source_options(1, binhost=False), build.setup.sets())


def names(plan: Plan) -> Sequence[str]:
    """The packages of a plan as emerge writes them, `category/package-version::repository`, sorted."""
    return sorted(f"{package.cpv}::{package.repository}" for package in plan.packages)
