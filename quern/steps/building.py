"""Builds one package in an empty root that holds only its closure.

STAGING/
  own/image/        ROOT and SYSROOT: the closure of the package, merged
  own/host/         Portage's host side, with what the build runs (BDEPEND)
  own/made/         PKGDIR: the package
  own/sources/      DISTDIR: copies of its sources
  own/merging/      room to merge in
  scratch/tmp/      PORTAGE_TMPDIR
  scratch/closure/  the binary packages of the closure
  scratch/on-host/  those for the host side

All of it is made anew for each package. A build may write to `own`, to PORTAGE_TMPDIR and to the step's package logs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from quern.drivers.base import Command
from quern.drivers.confinement import WORKER
from quern.errors import BuildError, QuernError
from quern.portage import emerge, refusals, root_plan, store
from quern.portage.keys import is_for_host
from quern.portage.plan import Package, Plan
from quern.portage.store import Store
from quern.steps import merging
from quern.steps.base import discard
from quern.steps.emerging import OWN, Build
from quern.steps.undeclared import hints
from quern.steps.work import check_folders, take_over
from quern.worker import accounts, merge, regular
from quern.worker.build import Request

MERGING = "merging"
LOG_SIZE = 1 << 20  # bytes that are read of the end of a log
CHANGED = "{package}, or what it is built with, was changed while it was built; run it again"
DAMAGED = "binary packages in {folder} are gone or damaged: {names}; run the build again; it rebuilds them"


class Position(NamedTuple):
    """Which of how many packages is being built, from 1."""

    number: int
    total: int


@dataclass(frozen=True)
class Builder:
    """Builds packages of `plan` into the store `packages`, in the place of the step `around`.

    `keys` are those of all packages, by id; `keys_now` gives them as they are later.
    """

    around: Build
    plan: Plan
    packages: Store
    keys: Mapping[str, str]
    keys_now: Callable[[], Mapping[str, str]]

    def build(self, order: Sequence[Package]) -> None:
        """Build packages, each after those that it is built with. Raises BuildError at the first that fails.

        Packages that need root are reported together, after all others are built.
        """
        refused, left = dict[str, str](), set[str]()
        for number, package in enumerate(order, start=1):
            if left.intersection(self.plan.closures.inside[package.id]):
                left.add(package.id)
                continue
            place = self._place()
            file = self._ask(place, package)
            try:
                self._run(place, file, Position(number, len(order)))
            except BuildError as error:
                more = list(self._undeclared(package))
                raise type(error)("\n".join([str(error), *more])) from None
            if found := place.refused():
                refused |= found
                left.add(package.id)
            else:
                self._keep(place, package)
        if refused:
            cases = "\n  ".join(refused.values())
            raise BuildError(refusals.MESSAGE.format(cases=cases, log=self.around.log))

    def _ask(self, place: Build, package: Package) -> Path:
        """Lay out what `package` is built with, and write what the worker is told; returns the file."""
        closure, on_host = self._closure(package)
        for name, keys in (("closure", closure), ("on-host", on_host)):
            self._lay_out(place.scratch / name, keys)
        file = place.scratch / "build.json"
        file.write_text(json.dumps(self._request(place, package, closure, on_host)._asdict()), encoding="utf-8")
        return file

    def _keep(self, place: Build, package: Package) -> None:
        """Take what was built into the store. Raises BuildError if it is not there, or not what was to be built."""
        try:
            is_same = self.keys_now()[package.id] == self.keys[package.id]
        except (QuernError, OSError):  # an ebuild is gone, say: a sync
            is_same = False
        if not is_same:
            raise BuildError(CHANGED.format(package=package.cpv))
        key, by_root = {package.cpv: self.keys[package.id]}, place.machine.root
        known = accounts.numbers(str(place.root)) if by_root and not package.on_host else None
        if not store.harvest(place.view, self.packages, key, key, by_root=by_root, known=known):
            raise BuildError(f"emerge succeeded but made no binary package of {package.cpv}; see {place.log}")

    def _undeclared(self, package: Package) -> Iterator[str]:
        """Hints: files that the build did not find, and which packages that it does not declare have them."""
        inside = self.plan.closures.inside[package.id]
        others = [each for each in self.plan.packages if each.id not in inside and each is not package]
        files = {each.cpv: self.packages.path(each.cpv, self.keys[each.id]) for each in others}
        logs = self.around.log.with_suffix("").glob(f"{package.cpv.replace('/', ':')}:*.log")
        with suppress(OSError, ValueError):  # others write it
            log = regular.end(str(max(logs)), LOG_SIZE).decode(errors="replace")
            yield from hints(log, package, others, {cpv: file for cpv, file in files.items() if file.is_file()})

    def _place(self) -> Build:
        """Empty folders to build in, and a new host side."""
        around = self.around
        own = around.staging / OWN
        place = replace(around, own=own)
        for folder in (own, place.scratch / "tmp"):
            discard(folder, around.staging, around.run)
        for folder in (own, place.root, place.host, place.view, own / MERGING, place.scratch / "tmp"):
            folder.mkdir()
            take_over(folder)
        place.root.chmod(0o755)  # the image's root folder does not depend on the caller's umask
        return place

    def _closure(self, package: Package) -> tuple[dict[str, str], dict[str, str]]:
        """The keys of what `package` is built with, by cpv: what is merged into ROOT, and what on the host side."""
        inside = self.plan.closures.inside[package.id]
        closure = {name: self.keys[name] for name in inside if not is_for_host(name)}
        return closure, {name.lstrip("/"): self.keys[name] for name in inside if is_for_host(name)}

    def _lay_out(self, folder: Path, keys: Mapping[str, str]) -> None:
        discard(folder, self.around.scratch, self.around.run)
        folder.mkdir()
        if lost := store.make_view(folder, self.packages, keys):
            raise BuildError(DAMAGED.format(folder=self.packages.folder, names=", ".join(lost)))

    def _request(
        self, place: Build, package: Package, closure: Mapping[str, str], on_host: Mapping[str, str]
    ) -> Request:
        """What the worker is told."""
        emerging = [place.machine.python, "-B", place.machine.emerge, *place.machine.options]
        atoms = [each.atom for each in self.plan.host if each.cpv in on_host]
        merged = self._merged(place, closure)._asdict() if closure and not package.on_host else {}
        return Request(
            settings=place.surroundings.host_settings(),
            host=[*emerging, *emerge.host_options(), *atoms] if atoms else [],
            packages=str(place.scratch / "on-host"),
            host_only=emerge.host_only(place.surroundings),
            root=str(place.root),
            merging=merged,
            sources=list(package.distfiles),
            emerge=[*emerging, *emerge.build_options(), package.atom],
            on_host=package.on_host,
        )

    def _merged(self, place: Build, closure: Mapping[str, str]) -> merge.Request:
        """What is merged into ROOT, in order: [build] baselayout_atoms first."""
        inside = [package for package in self.plan.packages if package.cpv in closure]
        inside.sort(key=lambda package: package.name not in self.plan.first)  # stable
        packages = [[package.cpv, package.repository] for package in inside]
        order = root_plan.of_plan(self.plan)._replace(packages=packages)
        return merging.request_of(place, order, place.scratch / "closure", place.staging / OWN / MERGING)

    def _run(self, place: Build, request: Path, position: Position) -> None:
        """Run the build, passing on its progress."""
        lines: list[str] = []
        tally, run = self.around.tally, self.around.run
        tally.begin(fetching=False)

        def line(text: str) -> None:
            lines.append(text)
            tally.line(text, monotonic())
            if not run.driver.streams and (progress := emerge.BUILDING.match(text)):
                run.say(f"{progress[1]}({position.number} of {position.total}){progress[2]}")

        argv = [place.machine.python, "-I", "-B", run.driver.inside(WORKER), "build", str(request)]
        logs = place.log.with_suffix("")
        own, tmp = place.staging / OWN, place.scratch / "tmp"
        reach = place.reach(own, tmp, logs)
        command = Command(argv, place.environment(binhosts=False), place.scratch, place.log, reach)
        status = run.driver.run(command, line)
        check_folders([own, place.root, place.host, place.view, tmp])
        if status != 0 and not place.refused():
            raise merging.error_of(place, lines)
