"""How long a step took: for estimates of the next time, and never an input of anything.

build/NAME/logs/STEP.times    JSON: the last build's seconds, those of each package, the packages of the current build
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from quern.steps.receipt import write_atomically


class History(NamedTuple):
    """The seconds of a step's last build, those that each package took when it was last built or installed (by
    category/package, see `tally`), and the packages of the build that is being made, or that was made last.
    """

    seconds: float = 0.0
    packages: Mapping[str, float] = {}
    planned: tuple[str, ...] = ()


def read(path: Path) -> History:
    """The history at `path`, an empty one where there is none or it is damaged."""
    try:
        data = json.loads(path.read_bytes())
        packages = {str(name): float(seconds) for name, seconds in data["packages"].items()}
        return History(float(data["seconds"]), packages, tuple(map(str, data["planned"])))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return History()


def plan(path: Path, packages: Iterable[str]) -> None:
    """Note which packages (category/package) are to be built or installed now."""
    _write(path, read(path)._replace(planned=tuple(packages)))


def note(path: Path, seconds: float, packages: Mapping[str, float]) -> None:
    """Note what a build took."""
    former = read(path)
    _write(path, History(seconds, {**former.packages, **packages}, former.planned))


def _write(path: Path, history: History) -> None:
    with suppress(OSError):  # a full disk, say: an estimate is not worth a build
        write_atomically(path, json.dumps(history._asdict()) + "\n")
