"""`root-plan.json`: what of a plan is installed into the root, in order, and how.

{
 "packages": [[cpv, repository], ...]    what the image names and all that needs to run, as Portage orders them
 "host": [atom, ...]                     what their phases need where they run (IDEPEND, PMS 8.1)
 "mask": [pattern, ...]                  INSTALL_MASK of the profile (make.conf(5))
 "shared": [pattern, ...]                COLLISION_IGNORE: what several packages may install
 "features": [name, ...]                 those of FEATURES that change what is installed
 "hooks": bool                           whether a bashrc or a repository's checks take part in every phase
}
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from quern.errors import BuildError, display
from quern.portage.plan import Package, Plan
from quern.worker import phases

NAME = "root-plan.json"
# those that change what is installed
FEATURES = {
    "binpkg-docompress", "binpkg-dostrip", "chflags", "nodoc", "noinfo", "noman", "selinux", "sfperms", "suidctl",
}  # fmt: skip
# names of what is in a plan's variables if something is sourced while packages are merged
HOOKS = ("profile.bashrc", "package.bashrc", "bashrc", "preinst-qa-check.d", "postinst-qa-check.d")


class RootPlan(NamedTuple):
    """What is installed into a root; see the module's docstring."""

    packages: list[list[str]]
    host: list[str]
    mask: list[str]
    shared: list[str]
    features: list[str]
    hooks: bool


def of_plan(plan: Plan) -> RootPlan:
    """What of `plan` is installed; those that are to come first do so with all they need."""
    by_id = {package.id: package for package in (*plan.packages, *plan.host)}
    needed = _needed((package for package in plan.packages if package.wanted), by_id)
    early = _needed((package for package in plan.packages if package.name in plan.first), by_id)
    order = [package for package in plan.packages if package.id in needed]
    order.sort(key=lambda package: package.id not in early)  # stable
    return RootPlan(
        [[package.cpv, package.repository] for package in order],
        [package.atom for package in on_host(plan)],
        plan.variables.get("INSTALL_MASK", "").split(),
        shlex.split(plan.variables.get("COLLISION_IGNORE", "")),
        sorted(FEATURES.intersection(plan.variables.get("FEATURES", "").split())),
        any(name.partition(" ")[0] in HOOKS for name in plan.variables),
    )


def on_host(plan: Plan) -> list[Package]:
    """The packages that phases need where they run, with all that these need to run, in Portage's order."""
    by_id = {package.id: package for package in (*plan.packages, *plan.host)}
    needed = _needed((package for package in plan.packages if package.wanted), by_id)
    return [package for package in plan.host if package.id in needed]


def _needed(packages: Iterable[Package], by_id: Mapping[str, Package]) -> set[str]:
    """The ids of `packages` and of all they need to run."""
    found: set[str] = set()
    todo = list(packages)
    while todo:
        package = todo.pop()
        if package.id not in found:
            found.add(package.id)
            todo += [by_id[name] for name in package.run_deps]
    return found


def with_phases(plan: Plan) -> set[str]:
    """The ids of the packages for the image of which phases run while they are merged (see `worker.merge`)."""
    order = of_plan(plan)
    every = order.hooks or phases.special(order.features)
    return {package.id for package in plan.packages if every or phases.among(package.phases)}


def text(plan: RootPlan) -> str:
    """The file's text."""
    return json.dumps(plan._asdict(), indent=1, sort_keys=True) + "\n"


def read(path: Path) -> RootPlan:
    """Read the file. Raises BuildError if it was damaged."""
    try:
        return RootPlan(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise BuildError(f"{display(path)} was damaged; remove {display(path.parent)}, and it is made anew") from None
