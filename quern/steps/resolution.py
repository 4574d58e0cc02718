"""What an image's packages are resolved to, and what of the repositories that depends on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from quern.errors import BuildError
from quern.portage import emerge, watch
from quern.portage.plan import Plan
from quern.portage.setup import Setup
from quern.portage.watch import Seen
from quern.steps.emerging import Build
from quern.steps.portage import profile_parts
from quern.worker.resolve import QA_CHECKS

ATTEMPTS = 3


class Resolution(NamedTuple):
    """A plan, and what was `seen` of the repositories while it was made, at `now` (nanoseconds)."""

    plan: Plan
    seen: dict[str, Seen]
    now: int


def resolve(build: Build, targets: Sequence[str]) -> Resolution:
    """Resolve `targets` from source, of repositories that did not change meanwhile.

    Raises BuildError if Portage finds no solution, or if they never stand still.
    """
    options = emerge.source_options(build.processors, bool(build.setup.image.settings.portage.binhost))
    before = None
    for _ in range(ATTEMPTS):
        now = _time(build.scratch / "resolving")
        plan = build.plan(options, targets)
        seen = watch.look(watched(build.setup, plan))
        # a clock that differs from ours may call all of them new; twice the same is as good
        if not watch.is_newer(seen, now) or seen == before:
            for line in plan.passed_over:
                build.run.say(f"Warning: {line}")
            return Resolution(plan, seen, now)
        before = seen
    raise BuildError("the repositories are being changed while they are read (a sync?); run it again when that is over")


def watched(setup: Setup, plan: Plan) -> list[str]:
    """The paths that a plan depends on, and what its packages are built from; sorted.

    Not the project's own profiles: they are in the configuration root, whose digest is an input.
    """
    own = setup.image.profiles if setup.has_overlay else None
    paths = {path for path in plan.watched if not Path(path).is_relative_to(setup.image.work)}
    for repository in setup.repositories():
        for name in QA_CHECKS:
            paths.update(watch.tree(str(repository.location / "metadata" / name)))
    for folder in setup.stack().folders:
        if own is None or not folder.is_relative_to(own):
            paths.add(str(folder))
            paths.update(path for part in profile_parts(folder) for path in watch.tree(str(part)))
            paths.update(str(path) for path in folder.iterdir() if not path.exists())  # links to what may come
    for package in (*plan.packages, *plan.host):
        where = Path(package.ebuild).parent
        paths.update([package.ebuild, *package.eclasses.values(), str(where / "Manifest")])
        paths.update(watch.tree(str(where / "files")))
    return sorted(paths)


def _time(marker: Path) -> int:
    """The time that a file made now gets (nanoseconds)."""
    marker.unlink(missing_ok=True)
    marker.touch()
    return marker.stat().st_ctime_ns
