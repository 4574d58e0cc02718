"""packages:NAME: every package of the image as a binary package, and `packages.lock`.

resolve from source ▶ a key for each package ▶ view of those that the store has
    ▶ fetch ▶ build what is missing, each in a place of its own, into the store ▶ the view, whole

build/NAME/packages/
  view/            exactly the image's packages, hard links into the store, with their index
  packages.lock    what was resolved, for people and `git diff`
  watch.json       what of the repositories that depends on
  ingredients.json what each package was built from
  ledger.txt       what the last run reused, and what it built and why
  provenance.json  where the sources are from, and what needs what to run
  root-plan.json   what of it is installed, in order
  linked.json      the libraries of the machine's tools
  on-host/         packages that phases need where they run (IDEPEND), if there are any
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quern.compress import identity
from quern.errors import BuildError, ConfigError, ProfileError, display
from quern.portage import watch
from quern.portage.keys import UNCONFINED
from quern.portage.linked import Linked
from quern.portage.setup import Setup
from quern.steps import committed
from quern.steps import receipt as receipts
from quern.steps.base import Made, Run, Step, counted, discard
from quern.steps.lock import locked
from quern.steps.receipt import Receipt

if TYPE_CHECKING:  # what only a build needs is imported there: an up-to-date step costs milliseconds
    from quern.drivers.base import Driver
    from quern.portage.changes import Change
    from quern.portage.keys import Ingredients
    from quern.portage.plan import Package, Plan
    from quern.portage.store import Store
    from quern.portage.tools import MachineIdentity
    from quern.steps.emerging import Build
    from quern.steps.package_build import Order
    from quern.steps.summary import Summary

LOCK = "packages.lock"
WATCH = "watch.json"
INGREDIENTS = "ingredients.json"
PROVENANCE = "provenance.json"
LEDGER = "ledger.txt"
ROOT_PLAN = "root-plan.json"
LINKED = "linked.json"
ON_HOST = "on-host"


@dataclass(frozen=True, eq=False, repr=False)
class PackagesStep(Step):
    """Builds the packages."""

    name: ClassVar[str] = "packages"
    doc: ClassVar[str] = "build the packages of"
    parts: ClassVar[tuple[str, ...]] = ("view/Packages", LOCK, WATCH, INGREDIENTS, PROVENANCE, LEDGER, ROOT_PLAN)
    version: ClassVar[int] = 5
    emerges: ClassVar[bool] = True
    asks: ClassVar[bool] = True

    setup: Setup

    def files(self) -> list[Path]:
        """The configuration root's digest."""
        return [self.place.beside("portage").digest]

    def inputs(self) -> dict[str, Any]:
        """The configuration root, what the last plan watches, the options of emerge, and the machine's tools."""
        setup, settings = self.setup, self.setup.image.settings
        return {
            "portage": self.place.beside("portage").digest_text(),
            "repositories": watch.digest(self.place.output / WATCH),
            "machine": self.machine().every_row(),
            "confined": setup.wants_confinement,
            "sets": setup.sets(),
            "baselayout": settings.build.baselayout_atoms,
        }

    def machine(self, linked: Linked | None = None) -> MachineIdentity:
        """What identifies where the packages come from, besides their recipes. Raises QuernError.

        The libraries of its tools are looked up in `linked`, by default in what the last build has found.
        """
        binhosts = self.setup.image.settings.portage.binhost
        if binhosts:  # what one gave is not what our own recipe gives
            from quern.portage.binhost import public

            binhosts = tuple(f"binhost {public(url)}" for url in binhosts) + self._keys()
        found = self.setup.machine_identity(linked or Linked(self.place.output / LINKED))
        return found._replace(rows=[*found.rows, *binhosts])

    def machine_of(self, driver: Driver, linked: Linked | None = None) -> MachineIdentity:
        """The same, and that builds are not confined, where `driver` does not.

        They find more, tools that are for others too, under other paths.
        """
        found = self.machine(linked)
        if driver.confines:
            return found
        return found._replace(rows=[*found.every_row(), f"{UNCONFINED}{self.work}"], tools={})

    def _keys(self) -> tuple[str, ...]:
        """What identifies the keys that must have signed a binhost's packages. Raises ConfigError."""
        from quern.portage.keys import file_digest

        file = self.setup.image.settings.portage.binhost_keys
        try:
            return (f"binhost keys {file_digest(file)}",) if file else ()
        except OSError as error:
            raise ConfigError(f"portage.binhost_keys: {file}: {error.strerror}") from None

    def build(self, staging: Path, run: Run) -> Made:
        """Resolve, build what the store lacks, and lay out the view."""
        from quern.portage import ledger, lockfile, package_index, provenance, root_plan
        from quern.portage.keys import ingredients, write_ingredients
        from quern.portage.platform import platform_of
        from quern.steps.confirm import check_terminal
        from quern.steps.emerging import Build
        from quern.steps.recipe import lay_out_shared
        from quern.steps.resolution import resolve

        image = self.setup.image
        identity(image.settings.build.compression)  # that it is missing is said before anything is built
        if image.settings.emerge.ask:
            check_terminal()
        build = Build(self.setup, run, staging, self.place.beside("portage").output, self.place.log)
        build.prepare()
        plan, seen, now = resolve(build, self.targets())
        lay_out_shared(build, plan, seen)
        linked = Linked(self.place.output / LINKED)
        machine = self.machine_of(run.driver, linked)
        made_of = ingredients(plan, machine)
        lock = [lockfile.of_recipe(made_of.recipes[package.id]) for package in plan.packages]
        try:
            platform = platform_of({**plan.variables, "ARCH": plan.arch})
            committed.check(image, lock)
        except (BuildError, ProfileError):
            build.forsake()
            raise
        why, elsewhere = self._fill_view(build, plan, machine, made_of)
        stanzas = package_index.read_index(build.view)
        lock = lockfile.with_origins(lock, stanzas)
        text = lockfile.text(lock)
        for name in (
            LOCK,
            LEDGER,
            WATCH,
            INGREDIENTS,
            PROVENANCE,
            ROOT_PLAN,
            LINKED,
        ):  # a build may have put a link there
            discard(staging / name, staging, run)
        (staging / LOCK).write_text(text, encoding="utf-8")
        (staging / LEDGER).write_text(ledger.text(lock, why), encoding="utf-8")
        write_ingredients(staging / INGREDIENTS, made_of)
        provenance.write(staging / PROVENANCE, plan)
        installed = root_plan.text(root_plan.of_plan(plan))
        (staging / ROOT_PLAN).write_text(installed, encoding="utf-8")
        linked.write(staging / LINKED)
        watched = watch.write(staging / WATCH, seen, now)
        build.clear()
        stanzas += package_index.read_index(staging / ON_HOST)
        info = {"packages": len(plan.packages), "built": len(why) - elsewhere, "platform": platform}
        return Made(info, digest_of(stanzas, text + installed), {"repositories": watched}, build.tally.shares)

    def made(self, receipt: Receipt) -> str:
        """How many packages."""
        return f"{counted(receipt.info['packages'], 'package')}, {receipt.info['built']} built"

    def is_sound(self, receipt: Receipt) -> bool:
        """Whether the lock and the view's index are those whose digest was taken."""
        return digest_in(self.place.output) == receipt.digest

    def lacking(self, receipt: Receipt) -> str | None:
        """The lock in the project, where it is not this one."""
        return committed.lacking(self.setup.image, self.place.output / LOCK)

    def settle(self, receipt: Receipt, run: Run) -> None:
        """Bring the lock in the project up to date, or refuse to go on."""
        committed.settle(self.setup.image, self.place.output / LOCK, run.say)

    def targets(self) -> list[str]:
        """What the image consists of, for emerge's command line."""
        return [*self.setup.sets(), *self.setup.image.settings.build.baselayout_atoms]

    def _fill_view(
        self, build: Build, plan: Plan, machine: MachineIdentity, made_of: Ingredients
    ) -> tuple[dict[str, list[Change]], int]:
        """Lay out the view, building what the store lacks.

        Returns why that was built, by cpv, and how many of these another run or image has built.
        """
        from quern.portage import store
        from quern.portage.keys import read_ingredients
        from quern.portage.reasons import Reasons
        from quern.portage.store import Store
        from quern.steps.package_build import Order
        from quern.steps.work import check_owner

        keys = made_of.keys()
        former = read_ingredients(self.place.output / INGREDIENTS)
        packages = Store(self.setup.image.binpkgs)
        check_owner(packages.folder, "[portage] binpkg")
        packages.folder.mkdir(parents=True, exist_ok=True)
        with locked(packages.lock, build.run.say, shared=True):  # nobody removes anything meanwhile
            self._keep_former(build, packages, keys, former)
            missing = store.make_view(build.view, packages, keys)
            reasons = Reasons(former, made_of)
            why, elsewhere = {cpv: reasons.of(cpv) for cpv in missing}, 0
            every = {**keys, **host_keys(made_of, self.work, plan.system)}
            if order := self._to_build(plan, packages, made_of, every, missing):
                self._announce(build, plan, {each.id: reasons.of(each.id) for each in order})
                now = self._machine_now(machine, build.run.driver)
                summary = self._build_missing(Order(build, plan, packages, made_of, every, now), order)
                why = {cpv: reason for cpv, reason in why.items() if cpv not in summary.same}
                elsewhere = len(summary.elsewhere & why.keys())
                receipts.sync_file_system(packages.folder)  # it may be on another disk than the work folder
                discard(build.view, build.staging, build.run)
                missing = store.make_view(build.view, packages, keys)
            missing += self._lay_out_host(build, plan, packages, every)
            if missing:
                raise BuildError(f"{packages.folder}: {', '.join(missing)} was removed while others were built")
        store.check_view(build.view, keys)
        return why, elsewhere

    def _lay_out_host(self, build: Build, plan: Plan, packages: Store, keys: Mapping[str, str]) -> list[str]:
        """Lay out the packages that phases need where they run, for the root step; returns what the store lacks."""
        from quern.portage import root_plan, store

        needed = {each.cpv: keys[each.id] for each in root_plan.on_host(plan)}
        if not needed:
            return []
        discard(build.staging / ON_HOST, build.staging, build.run)
        (build.staging / ON_HOST).mkdir()
        return store.make_view(build.staging / ON_HOST, packages, needed)

    def _keep_former(self, build: Build, packages: Store, keys: dict[str, str], former: Ingredients | None) -> None:
        """Give the store what only this image's own view still has: an unchanged plan must not cost an emerge."""
        from quern.portage import store

        before = former.keys() if former else {}
        unchanged = [cpv for cpv in keys if before.get(cpv) == keys[cpv]]
        store.harvest(self.place.output / "view", packages, keys, unchanged, by_root=build.machine.root)

    def _to_build(
        self, plan: Plan, packages: Store, made_of: Ingredients, keys: Mapping[str, str], missing: list[str]
    ) -> list[Package]:
        """What is to be built, in order: the packages `missing`, and of the host side what these or the root take."""
        from quern.portage import root_plan
        from quern.portage.closures import to_build

        lacking = {each.id for each in plan.host if packages.sound(each.cpv, keys[each.id]) is None}
        for_root = [each.id for each in root_plan.on_host(plan) if each.id in lacking]
        wanted = set(to_build(made_of.closures, [*missing, *for_root], lacking))
        return [plan[name] for name in plan.closures.order if name in wanted]

    def _announce(self, build: Build, plan: Plan, why: Mapping[str, list[Change]]) -> None:
        """Say what is going to be built, and why (by id); ask, where the user wants to be asked."""
        from quern.portage import changes, ledger
        from quern.steps import history
        from quern.steps.confirm import confirm
        from quern.steps.events import Event

        found = [plan[name] for name in why]
        total = len(plan.packages) + sum(package.on_host for package in found)
        reasons = {ledger.name_of(each): why[each.id] for each in found}
        head, *lines = ledger.announcement(reasons, total)
        phrased = {name: changes.phrases(each) for name, each in reasons.items()}
        build.run.say(Event(head, "plan", packages=phrased, total=total))
        for line in lines:
            build.run.say(line)
        if self.setup.image.settings.emerge.ask:
            confirm("Build these packages?")
        history.plan(self.place.times, [package.name for package in found])

    def _build_missing(self, order: Order, packages: list[Package]) -> Summary:
        """Get the packages into the store; returns what became of each."""
        from quern.steps import history
        from quern.steps.building import Builder

        if common := order.around.run.common:
            common.resolved(self.setup.image.name)
        order.around.check_target()
        self._check_manifests(packages)
        packages = self._fetch(order.around, order.plan, order.packages, order.keys, packages)
        settings, seconds = self.setup.image.settings, history.read(self.place.times).packages
        return Builder(order, seconds, settings.build.keep_going, settings.emerge.memory_per_job).build(packages)

    def _machine_now(self, machine: MachineIdentity, driver: Driver) -> Callable[[], MachineIdentity]:
        """What gives the machine's identity as it is then; a builder image cannot change."""
        return (lambda: machine) if self.setup.in_container else (lambda: self.machine_of(driver))

    def _fetch(
        self, build: Build, plan: Plan, packages: Store, keys: Mapping[str, str], order: list[Package]
    ) -> list[Package]:
        """Get sources, and packages of binhosts; returns what is left to be built."""
        from quern.portage import binhost, store
        from quern.steps.fetching import fetch

        urls = self.setup.image.settings.portage.binhost
        wanted = {package.cpv: keys[package.id] for package in order if not package.on_host}
        fetch(build, plan, order, [package.atom for package in order if package.cpv in wanted])
        if not urls:
            return order
        origins = binhost.origins(zip(build.binhosts, urls, strict=True))
        taken = store.harvest(build.view, packages, wanted, wanted, origins, build.machine.root)
        return [package for package in order if package.on_host or package.cpv not in taken]

    def _check_manifests(self, packages: Iterable[Package]) -> None:
        """Raise BuildError if nobody would check the sources of one of them."""
        from quern.portage.repository import LAYOUT

        lax = {each.name: each.location for each in self.setup.repositories() if not each.checks_manifests}
        for package in packages:
            if package.distfiles and package.repository in lax:
                layout = display(lax[package.repository] / LAYOUT)
                raise BuildError(f"{package.cpv}: {layout}: its use-manifests has nobody check sources; take it out")


def host_keys(made_of: Ingredients, work: Path, system: bool) -> dict[str, str]:
    """The keys, by id, of what is built to build with for the image whose work folder this is.

    Off a Gentoo `system` such packages contain the path of the host side (EPREFIX, PMS 11.1). Confined builds have one
    path for it (`names.HOST`); a package of another build serves no other folder.
    """
    from quern.portage.keys import is_confined
    from quern.steps.emerging import HOST, OWN, TOGETHER

    if system or is_confined(made_of.machine):
        return made_of.host_keys("")
    return made_of.host_keys(str(receipts.Place(work, PackagesStep.name).staging / OWN / TOGETHER / HOST))


def digest_in(output: Path) -> str:
    """The digest of what is in the step's output now."""
    from quern.portage import package_index

    texts = [(output / name).read_text(encoding="utf-8", errors="replace") for name in (LOCK, ROOT_PLAN)]
    stanzas = [*package_index.read_index(output / "view"), *package_index.read_index(output / ON_HOST)]
    return digest_of(stanzas, "".join(texts))


def digest_of(stanzas: Iterable[Mapping[str, str]], texts: str) -> str:
    """The output's digest: of the texts of lock and root plan, and the packages' own digests, from their index."""
    digest = hashlib.sha256(texts.encode())
    for stanza in stanzas:
        digest.update(f"{stanza['CPV']} {stanza.get('SHA1')} {stanza.get('SIZE')}\n".encode())
    return f"sha256:{digest.hexdigest()}"
