"""A plan: the packages that emerge would merge, as Portage's resolver gave them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from quern.errors import RepositoryError
from quern.portage.closures import Closures, closures


@dataclass(frozen=True)
class Package:
    """One package of a plan.

    `cpv` is category/package-version-revision (PMS 3.2); `use` the enabled flags of its IUSE; `iuse` all of them;
    `flags` every enabled flag, the profile's implicit ones included. `build_deps` and `run_deps` are the ids of the
    packages of the same plan that satisfy DEPEND and BDEPEND, RDEPEND, PDEPEND and IDEPEND; `wanted` says that the
    image itself names it, in a set or an atom; `live` says that it fetches its sources while it is built. `restrict`
    are the words of RESTRICT (PMS 7.3.6), `sources` the URIs of each distfile, as SRC_URI has them (PMS 7.3.2), and
    `phases` the words of DEFINED_PHASES (PMS 7.4).
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
    wanted: bool = False
    live: bool = False
    restrict: tuple[str, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    phases: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Its name in `build_deps` and `run_deps`: the cpv, after a slash if it is merged where emerge runs."""
        return _id(self.cpv, self.on_host)

    @property
    def name(self) -> str:
        """`category/package`."""
        return package_name(self.cpv)

    @property
    def atom(self) -> str:
        """The one package, for emerge's command line: `=cat/pkg-1:slot::repository`."""
        return f"={self.cpv}:{self.slot}::{self.repository}"


@dataclass(frozen=True)
class Plan:
    """The packages in merge order, and the profile's variables that every build of them sees.

    `host` are those that are merged where emerge runs, to build with: they are no part of the image. `watched` are the
    paths below the repositories that the plan depends on; `passed_over` says which ebuilds and lines of profiles
    Portage could not read and went on without; `mirrors` is what the repositories know `mirror://NAME/` to stand for.
    `first` are the names (category/package) of what is merged before all else; `system` says that `/` is a Gentoo
    system's and has what DEPEND asks for (SYSROOT, PMS 11.1).
    """

    packages: tuple[Package, ...]
    variables: Mapping[str, str]
    host: tuple[Package, ...] = ()
    watched: tuple[str, ...] = ()
    arch: str = ""  # ARCH, which need not be among the variables: it may be a USE_EXPAND one
    passed_over: tuple[str, ...] = ()
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    system: bool = False

    def __getitem__(self, name: str) -> Package:
        """The package with this name. Raises KeyError."""
        return self._by_id[name]

    @cached_property
    def _by_id(self) -> dict[str, Package]:
        return {package.id: package for package in (*self.packages, *self.host)}

    @cached_property
    def closures(self) -> Closures:
        """What each package is built with. Raises BuildError if build dependencies go round."""
        return closures(self)


def package_name(cpv: str) -> str:
    """`category/package`: a version begins with a digit and has no hyphen but that of -rN (PMS 3.2)."""
    return re.sub(r"-[0-9][^-]*(-r[0-9]+)?\Z", "", cpv)


def _id(cpv: str, on_host: bool) -> str:
    """What tells a package from the same one that is merged where emerge runs."""
    return f"/{cpv}" if on_host else cpv


def from_answer(answer: Mapping[str, Any], outside: Callable[[str], str] = str) -> Plan:
    """The plan in the worker's answer to `resolve`; `outside` gives this machine's name of a path of the worker's.

    Raises RepositoryError for a package whose name no lock could hold: to Portage `a-1\\n.ebuild` is a version.
    """
    entries = answer["plan"]
    for entry in entries:
        if not entry["cpv"].isprintable():
            raise RepositoryError(f"{outside(entry['ebuild'])!r}: expected PACKAGE-VERSION.ebuild in one line of text")
    packages = [_package(entry, entries, outside) for entry in entries]
    wanted, host = (tuple(each for each in packages if each.on_host is on_host) for on_host in (False, True))
    watched = tuple(outside(path) for path in answer["watched"])
    mirrors = answer.get("mirrors", {})
    return Plan(wanted, answer["variables"], host, watched, answer.get("arch", ""), mirrors=mirrors)


def _package(entry: Mapping[str, Any], entries: list[Mapping[str, Any]], outside: Callable[[str], str]) -> Package:
    def cpvs(indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(sorted(_id(entries[index]["cpv"], entries[index]["on_host"]) for index in indices))

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
        wanted=entry.get("wanted", False),
        live=entry.get("live", False),
        restrict=tuple(entry.get("restrict", ())),
        sources={name: tuple(uris) for name, uris in entry.get("sources", {}).items()},
        phases=tuple(entry.get("phases", ())),
    )
