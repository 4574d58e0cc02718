"""A plan: the packages that emerge would merge, as Portage's resolver gave them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Package:
    """One package of a plan.

    `cpv` is category/package-version-revision (PMS 3.2); `use` the enabled flags of its IUSE; `iuse` all of them;
    `flags` every enabled flag, the profile's implicit ones included. `build_deps` and `run_deps` are the cpvs of the
    packages of the same plan that satisfy DEPEND and BDEPEND, RDEPEND and PDEPEND; `live` says that it fetches its
    sources while it is built.
    """

    cpv: str
    slot: str
    subslot: str
    repository: str
    use: tuple[str, ...]
    iuse: tuple[str, ...]
    flags: tuple[str, ...]
    on_host: bool
    ebuild: str
    eclasses: Mapping[str, str]
    distfiles: tuple[str, ...]
    build_deps: tuple[str, ...]
    run_deps: tuple[str, ...]
    live: bool = False

    @property
    def name(self) -> str:
        """`category/package`: a version begins with a digit and has no hyphen but that of -rN (PMS 3.2)."""
        return re.sub(r"-[0-9][^-]*(-r[0-9]+)?\Z", "", self.cpv)

    @property
    def atom(self) -> str:
        """The one package, for emerge's command line: `=cat/pkg-1:slot::repository`."""
        return f"={self.cpv}:{self.slot}::{self.repository}"


@dataclass(frozen=True)
class Plan:
    """The packages in merge order, and the profile's variables that every build of them sees."""

    packages: tuple[Package, ...]
    variables: Mapping[str, str]

    def __getitem__(self, cpv: str) -> Package:
        """The package with this cpv. Raises KeyError."""
        for package in self.packages:
            if package.cpv == cpv:
                return package
        raise KeyError(cpv)

    def build_closure(self, package: Package) -> list[Package]:
        """Everything that is in the build root because `package` is built there, sorted by cpv.

        Its build dependencies and what those need in turn; runtime dependencies too, since a tool or library runs
        or links with them.
        """
        by_cpv = {other.cpv: other for other in self.packages}
        reached: dict[str, Package] = {}
        todo = list(package.build_deps)
        while todo:
            cpv = todo.pop()
            if cpv not in reached and cpv != package.cpv:
                reached[cpv] = by_cpv[cpv]
                todo += [*by_cpv[cpv].build_deps, *by_cpv[cpv].run_deps]
        return [reached[cpv] for cpv in sorted(reached)]


def from_answer(answer: Mapping[str, Any], outside: Callable[[str], str] = str) -> Plan:
    """The plan in the worker's answer to `resolve`; `outside` gives this machine's name of a path of the worker's."""
    entries = answer["plan"]
    return Plan(tuple(_package(entry, entries, outside) for entry in entries), answer.get("variables", {}))


def _package(entry: Mapping[str, Any], entries: list[Mapping[str, Any]], outside: Callable[[str], str]) -> Package:
    def cpvs(indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(sorted(entries[index]["cpv"] for index in indices))

    return Package(
        cpv=entry["cpv"],
        slot=entry["slot"],
        subslot=entry["subslot"],
        repository=entry["repository"],
        use=tuple(entry["use"]),
        iuse=tuple(entry["iuse"]),
        flags=tuple(entry["flags"]),
        on_host=entry["on_host"],
        ebuild=outside(entry["ebuild"]) if entry["ebuild"] else "",
        eclasses={name: outside(path) for name, path in entry["eclasses"].items()},
        distfiles=tuple(entry["distfiles"]),
        build_deps=cpvs(entry["build_deps"]),
        run_deps=cpvs(entry["run_deps"]),
        live=entry.get("live", False),
    )
