"""How long it takes to build the packages of images: all in one run of doit, against a run for each.

And against what no schedule can beat: the time of the processors, or the longest chain of packages.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from quern.worker.host import cpus
from tests.building import CHECKOUT
from tests.projects import write
from tests.test_emerging import TREE, ebuild

IMAGES = 10
CONF = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
WORK = "local i; for ((i = 0; i < {}; i++)); do :; done"


class Times(NamedTuple):
    """Seconds by the clock, and of processors; and the longest chain of packages that a run has built, in seconds."""

    clock: float
    processors: float
    path: float


def graph(project: Path, images: Sequence[str]) -> None:
    """Compare for images of a project, each from an empty store."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("together", "apart"):
            target = Path(folder) / name
            target.mkdir()
            shutil.copyfile(project / "dodo.py", target / "dodo.py")
            shutil.copytree(project / "profiles", target / "profiles")
        together = packages(Path(folder) / "together", images)
        least = max(together.processors / cpus(), together.path)
        print(f"{', '.join(images)}: {together.clock:.1f} s, {together.processors:.1f} s of processors")
        print(f"  longest path {together.path:.1f} s; ratio to the least that is possible {together.clock / least:.2f}")
        if len(images) > 1:
            apart = sum(packages(Path(folder) / "apart", [image]).clock for image in images)
            print(f"  one after the other {apart:.1f} s; ratio {together.clock / apart:.2f}")


def ten() -> None:
    """Compare for ten images of which each has a package of its own, built with one that all have."""
    with tempfile.TemporaryDirectory() as folder:
        tree = {f"tree/{name}": text for name, text in TREE.items()} | {"tree/profiles/image/packages": ""}
        tree["tree/lab/base/base-1.ebuild"] = ebuild(body=WORK.format(2_000_000))
        files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n", **tree}
        names = [f"image{number}" for number in range(IMAGES)]
        for number, name in enumerate(names):
            files |= {f"profiles/{name}/quern.conf": CONF, f"profiles/{name}/parent": "lab:image\n"}
            files[f"profiles/{name}/packages"] = f"lab/{name}\n"
            text = ebuild('DEPEND="lab/base"', WORK.format(300_000 * (number + 1)))
            files[f"tree/lab/{name}/{name}-1.ebuild"] = text
        for name in ("together", "apart"):
            write(Path(folder) / name, files)
        together = packages(Path(folder) / "together", names)
        apart = sum(packages(Path(folder) / "apart", [name]).clock for name in names)
        print(f"{IMAGES} images with a common base: {together.clock:.1f} s, one after the other {apart:.1f} s")
        print(f"  ratio {together.clock / apart:.2f}")


def packages(project: Path, images: Sequence[str]) -> Times:
    """Build the packages of images in one run of doit."""
    before, started = _processors(), time.perf_counter()
    argv = [sys.executable, "-m", "doit", "run", "-r", "quern-json", *(f"packages:{image}" for image in images)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    said = subprocess.run(argv, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    clock = time.perf_counter() - started
    events = [json.loads(line) for line in said.splitlines()]
    paths = [event["longest_path"] for event in events if event["event"] == "summary"]
    longest = max((sum(seconds for _, seconds in path) for path in paths), default=0.0)
    return Times(clock, _processors() - before, longest)


def _processors() -> float:
    """The seconds of processors of the processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
