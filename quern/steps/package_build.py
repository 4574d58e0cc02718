"""Builds one package in an empty root that holds only its closure.

STAGING/own/NAME/
  image/        ROOT and SYSROOT: the closure of the package, merged
  host/         Portage's host side, with what the build runs (BDEPEND)
  made/         PKGDIR: the package
  merging/      room to merge in
  sources/      DISTDIR: copies of its sources
  tmp/          PORTAGE_TMPDIR
STAGING/scratch/
  NAME/closure/       the binary packages of the closure
  NAME/on-host/       those for the host side
  NAME/recipe/        the repositories, of which there is what it is built from (see `recipe`)
  NAME/build.json     what the worker is told
  NAME.log            what the worker printed

All of it is made anew for each package. A build may write to its own folder and to the step's package logs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Event

from quern.drivers.base import Command
from quern.drivers.commands import Stopped
from quern.drivers.confinement import WORKER
from quern.errors import BuildError, display
from quern.portage import emerge, root_plan, store
from quern.portage.keys import Ingredients, is_confined, is_for_host, running
from quern.portage.plan import Package, Plan
from quern.portage.store import Store
from quern.portage.tools import TOOLS, MachineIdentity, usable
from quern.steps import merging, recipe
from quern.steps.base import discard
from quern.steps.emerging import OWN, TOGETHER, Build
from quern.steps.undeclared import hints, tool_hints
from quern.steps.work import check_folders, take_over
from quern.worker import accounts, merge, regular
from quern.worker.build import Request

MERGING = "merging"
LOG_SIZE = 1 << 20  # bytes that are read of the end of a log
CHANGED = "the tools or the Portage of this machine were changed while {package} was built; run it again"
DAMAGED = "binary packages in {folder} are gone or damaged: {names}; run the build again; it rebuilds them"


@dataclass(frozen=True)
class Order:
    """What there is to build from: the place of the step `around`, the `plan`, the store `packages`.

    `made_of` is what all packages are built from and `keys` are their keys, by id; `machine_now` gives the identity of
    the machine, which `made_of` has as it was when the keys were made; `stopped` is set when all is to end.
    """

    around: Build
    plan: Plan
    packages: Store
    made_of: Ingredients
    keys: Mapping[str, str]
    machine_now: Callable[[], MachineIdentity]
    stopped: Event = field(default_factory=Event)

    @cached_property
    def running(self) -> dict[str, set[str]]:
        """By id: of the packages (category/package) that tools are declared for, those that run while it is built."""
        tools = self.around.setup.tools()
        return running(self.plan, {name for tool in tools for name in tool.packages})

    def contents_digest(self, name: str) -> str:
        """The digest of all that the package `name` (an id) is built from; see `Ingredients`.

        All that it is built with is in the store. Empty where the digest of one of these is not known, and where what
        is built depends on where that is.
        """
        found = dict[str, bytes]()
        for other in self.plan.closures.inside[name]:
            stanza = self.packages.stanza(self.plan[other].cpv, self.keys[other]) or {}
            digest = stanza.get("SHA256", "")
            found[other] = bytes.fromhex(digest) if re.fullmatch("[0-9a-f]{64}", digest) else b""
        return self.made_of.contents_digest(name, found) if self.apart and all(found.values()) else ""

    def check(self) -> None:
        """Raise Stopped if all builds are to end."""
        if self.stopped.is_set():
            raise Stopped

    @property
    def apart(self) -> bool:
        """Whether each package has a folder of its own, so that several can be built at once.

        What is built for the host side off Gentoo holds its path (EPREFIX, PMS 11.1), and has to find it there again:
        that is one path for all only where builds are confined (see `names`).
        """
        return self.plan.system or not self.plan.host or is_confined(self.made_of.machine)


@dataclass(frozen=True)
class PackageBuild:
    """The build of one package, with as many processes as `jobs`."""

    order: Order
    package: Package
    jobs: int

    @property
    def name(self) -> str:
        """What its folders and its container are called: CATEGORY_PF-KEY, its key cut short."""
        name = re.sub(r"[^\w.-]", "_", self.package.cpv, flags=re.ASCII)
        return f"{'host-' if self.package.on_host else ''}{name}-{self.order.keys[self.package.id][:8]}"

    @cached_property
    def place(self) -> Build:
        """Its place; the folders are made by `build`."""
        around = self.order.around
        folder = self.name if self.order.apart else TOGETHER
        tools = tuple(usable(around.setup.tools(), self.order.running[self.package.id]))
        own = around.staging / OWN / folder
        return replace(around, own=own, name=self.name, renames=True, tools=tools)

    @property
    def output(self) -> Path:
        """The file with what the worker has printed."""
        return self.place.scratch / f"{self.name}.log"

    def build(self) -> dict[str, str]:
        """Build it into the store.

        Returns what an ordinary user cannot give it, by cpv: if there is something, it is not in the store. Raises
        QuernError.
        """
        self._make_folders()
        self.order.check()
        file = self._ask()
        self.order.check()
        try:
            self._run(file)
        except BuildError as error:
            raise type(error)("\n".join([str(error), *self._undeclared()])) from None
        if refused := self.place.refused():
            return refused
        self.order.check()
        self._keep()
        for folder in (self._own, self._inputs):
            discard(folder, self.place.staging, self.place.run)
        return {}

    @property
    def _own(self) -> Path:
        assert self.place.own
        return self.place.own

    @property
    def _inputs(self) -> Path:
        return self.place.inputs

    def _make_folders(self) -> None:
        place, own = self.place, self._own
        for folder in (own, self._inputs):
            discard(folder, place.staging, place.run)
        for folder in (own.parent, self._inputs):
            folder.mkdir(exist_ok=True)
        for folder in (own, place.root, place.host, place.view, own / MERGING, place.tmp):
            folder.mkdir()
            take_over(folder)
        place.root.chmod(0o755)  # the image's root folder does not depend on the caller's umask

    def _ask(self) -> Path:
        """Lay out what the package is built from and with, and write what the worker is told; returns the file."""
        recipe.lay_out(self.place, self.package, self.order.made_of.recipes[self.package.id])
        closure, on_host = self._closure()
        for name, keys in (("closure", closure), ("on-host", on_host)):
            folder = self._inputs / name
            folder.mkdir()
            if lost := store.make_view(folder, self.order.packages, keys):
                raise BuildError(DAMAGED.format(folder=self.order.packages.folder, names=", ".join(lost)))
        file = self._inputs / "build.json"
        file.write_text(json.dumps(self._request(closure, on_host)._asdict()), encoding="utf-8")
        return file

    def _closure(self) -> tuple[dict[str, str], dict[str, str]]:
        """The keys of what it is built with, by cpv: what is merged into ROOT, and what on the host side."""
        inside, keys = self.order.plan.closures.inside[self.package.id], self.order.keys
        closure = {name: keys[name] for name in inside if not is_for_host(name)}
        return closure, {name.lstrip("/"): keys[name] for name in inside if is_for_host(name)}

    def _request(self, closure: Mapping[str, str], on_host: Mapping[str, str]) -> Request:
        """What the worker is told."""
        place, package = self.place, self.package
        emerging = [place.machine.python, "-B", place.machine.emerge, *place.machine.options]
        atoms = [each.atom for each in self.order.plan.host if each.cpv in on_host]
        merged = self._merged(closure)._asdict() if closure and not package.on_host else {}
        return Request(
            settings=place.with_jobs(self.jobs).host_settings(),
            host=[*emerging, *emerge.host_options(), *atoms] if atoms else [],
            packages=str(place.inside(self._inputs / "on-host")),
            host_only=emerge.host_only(place.surroundings),
            merging=merged,
            sources=list(package.distfiles),
            emerge=[*emerging, *emerge.build_options(), package.atom],
            on_host=package.on_host,
            own=str(place.inside(place.host)),
            root=str(place.inside(place.root)),
        )

    def _merged(self, closure: Mapping[str, str]) -> merge.Request:
        """What is merged into ROOT, in order: [build] baselayout_atoms first."""
        plan = self.order.plan
        inside = [package for package in plan.packages if package.cpv in closure]
        inside.sort(key=lambda package: package.name not in plan.first)  # stable
        packages = [[package.cpv, package.repository] for package in inside]
        order = root_plan.of_plan(plan)._replace(packages=packages)
        return merging.request_of(self.place, order, self._inputs / "closure", self._own / MERGING)

    def _run(self, request: Path) -> None:
        lines: list[str] = []
        place, own = self.place, self._own
        argv = [place.machine.python, "-I", "-B", place.run.driver.inside(WORKER), "build", str(place.inside(request))]
        logs = place.log.with_suffix("")
        reach = place.reach(own, logs)
        environment = place.with_jobs(self.jobs).environment()
        environment.pop("PORTAGE_BINHOST", None)
        folder = place.inside(self._inputs)
        command = Command(argv, environment, folder, self.output, reach, logs, name=self.name)
        status = place.run.driver.run(command, lines.append)
        check_folders([own, place.root, place.host, place.view, place.tmp])
        if status != 0 and not place.refused():
            raise merging.error_of(place, lines)

    def _keep(self) -> None:
        """Take what was built into the store. Raises BuildError if it is not there, or not what was to be built."""
        order, package, place = self.order, self.package, self.place
        now, made_of = order.machine_now(), order.made_of
        tools = now.of(order.running[package.id])
        if now.rows != made_of.machine or tools != made_of.tools.get(package.id, []):
            raise BuildError(CHANGED.format(package=package.cpv))
        key, by_root = {package.cpv: order.keys[package.id]}, place.machine.root
        known = accounts.numbers(str(place.root)) if by_root and not package.on_host else None
        contents = order.contents_digest(package.id)
        if not store.harvest(place.view, order.packages, key, key, by_root=by_root, known=known, contents=contents):
            raise BuildError(f"emerge succeeded but made no binary package of {package.cpv}; see {place.log}")

    def _undeclared(self) -> Iterator[str]:
        """Hints: files that the build did not find, and who has them, which it does not declare."""
        plan, package, packages = self.order.plan, self.package, self.order.packages
        inside = plan.closures.inside[package.id]
        others = [each for each in plan.packages if each.id not in inside and each is not package]
        files = {each.cpv: packages.path(each.cpv, self.order.keys[each.id]) for each in others}
        logs = self.place.log.with_suffix("").glob(f"{package.cpv.replace('/', ':')}:*.log")
        with suppress(OSError, ValueError):  # others write it
            log = regular.end(str(max(logs)), LOG_SIZE).decode(errors="replace")
            yield from hints(log, package, others, {cpv: file for cpv, file in files.items() if file.is_file()})
            declared, usable = self.place.setup.tools(), self.place.tools or ()
            repositories = {each.name: each.location for each in self.place.setup.repositories()}
            file = display(repositories[package.repository] / TOOLS)
            yield from tool_hints(log, package, [tool for tool in declared if tool not in usable], file)
