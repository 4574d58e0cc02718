"""Installing a plan's packages into the empty root of a build: the request to the worker, and what came of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from quern.drivers.base import Command
from quern.drivers.confinement import WORKER
from quern.errors import BuildError
from quern.portage import emerge, package_index, refusals
from quern.steps import capsule
from quern.steps.work import check_folders
from quern.terminal import harmless
from quern.worker.merge import FAILED, Request

if TYPE_CHECKING:
    from quern.portage.root_plan import RootPlan
    from quern.steps.emerging import Build

ON_HOST = "on-host"  # below scratch: the packages that are merged where emerge runs
IDEPEND = """\
{packages} must be on the machine while packages are installed (IDEPEND); that takes a Gentoo system to build in: \
[build] driver = docker with a stage"""


def merge(build: Build, plan: RootPlan) -> None:
    """Merge the packages of `plan` from the view of `build` into its root. Raises BuildError."""
    request = build.scratch / "merge.json"
    request.write_text(json.dumps(_request(build, plan)._asdict()), encoding="utf-8")
    lines: list[str] = []
    build.tally.begin(fetching=False)

    def line(text: str) -> None:
        lines.append(text)
        build.tally.line(text, monotonic())
        if not build.run.driver.streams and (progress := emerge.PROGRESS.fullmatch(text)):
            build.run.say(progress[1])

    argv = [build.machine.python, "-I", "-B", build.run.driver.inside(WORKER), "merge", str(build.inside(request))]
    folder, logs = build.inside(build.scratch), build.log.with_suffix("")
    reach = build.reach(build.staging, build.host, logs)
    command = Command(argv, build.environment(binhosts=False), folder, build.log, reach, logs)
    status = build.run.driver.run(command, line)
    check_folders([build.view, build.root, build.scratch, build.scratch / "tmp"])
    if refused := build.refused():
        raise BuildError(refusals.MESSAGE.format(cases="\n  ".join(refused.values()), log=build.log))
    if status != 0:
        raise error_of(build, lines)


def request_of(build: Build, plan: RootPlan, view: Path, scratch: Path) -> Request:
    """The request to merge the packages of `plan` from `view` into the root of `build`, with room in `scratch`."""
    paths = {stanza["CPV"]: stanza["PATH"] for stanza in package_index.read_index(view)}
    return Request(
        root=str(build.inside(build.root)),
        scratch=str(build.inside(scratch)),
        packages=[[cpv, repository, str(build.inside(view / paths[cpv]))] for cpv, repository in plan.packages],
        mask=plan.mask,
        shared=plan.shared,
        features=plan.features,
        every_phase=plan.hooks,
        epoch=emerge.PACKAGE_EPOCH,
        settings=build.surroundings.host_settings(),
        first=[],
    )


def _request(build: Build, plan: RootPlan) -> Request:
    if plan.host and not build.machine.gentoo:
        raise BuildError(IDEPEND.format(packages=", ".join(plan.host)))
    machine = build.machine
    options = [machine.python, machine.emerge, *machine.options, *emerge.host_options()]
    unset = [word for name in emerge.host_only(build.surroundings) for word in ("-u", name)]
    first = (
        ["env", *unset, f"PKGDIR={build.inside(build.scratch / ON_HOST)}", *options, *plan.host] if plan.host else []
    )
    return request_of(build, plan, build.view, build.scratch)._replace(first=first)


def error_of(build: Build, lines: list[str]) -> BuildError:
    """What to raise: the reason why something could not be merged, or what the phase that failed has printed."""
    for line in lines:
        if line.startswith(FAILED) and (match := re.fullmatch(r'".*"', line[len(FAILED) :])):
            return BuildError(f"{build.names.outside(harmless(json.loads(match[0])))}\nlog: {build.log}")
    return capsule.error_of(build, "\n".join(lines))
