"""What the steps would do now, found out aside: in a folder of its own, with nothing of the image's touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quern.config.settings import Storage
from quern.drivers.raw import RawDriver
from quern.errors import BuildError, QuernError
from quern.project import Image
from quern.steps import committed
from quern.steps.base import Run
from quern.steps.chain import driver_of, setup_of
from quern.steps.packages import INGREDIENTS, LOCK, PackagesStep, digest_of, host_keys
from quern.steps.portage import PortageStep
from quern.worker import regular
from quern.worker.walk import walk

if TYPE_CHECKING:
    from quern.portage.keys import Ingredients
    from quern.portage.lockfile import Locked
    from quern.portage.plan import Plan
    from quern.portage.store import Store

METADATA = "host/var/cache/edb/dep"
LARGEST = 1 << 20  # bytes of the metadata of one ebuild


class Packages(NamedTuple):
    """What the packages step would do.

    `moves` is how its lock would differ from the present one, `built` why each package that is built would be, by cpv,
    and `maybe` which of them are kept if what they are built with turns out to be the same; `digest` that of its
    output, None where building gives another one, and empty where it may.
    """

    moves: list[str]
    built: dict[str, list[str]]
    maybe: list[str]
    digest: str | None


@dataclass(frozen=True)
class Foresight:
    """The image as it would be in the empty folder `scratch`."""

    image: Image
    scratch: Path

    @property
    def aside(self) -> Image:
        """The same image, made elsewhere: with nothing of the user's to write to, and no volume for builds."""
        settings = self.image.settings
        settings = settings._replace(
            portage=settings.portage._replace(distfiles=self.scratch / "distfiles"),
            docker=settings.docker._replace(workdir_storage=Storage()),
        )
        return self.image._replace(work=self.scratch / "build" / self.image.work.name, settings=settings)

    @cached_property
    def run(self) -> Run:
        """Says nothing."""
        return Run(driver_of(self.aside, _unsaid), _unsaid)

    def portage(self) -> str:
        """The digest of the configuration root. Raises QuernError."""
        made = self.scratch / "portage"
        made.mkdir()
        PortageStep(self.image.work, False, setup_of(self.image)).build(made, self.run)
        return str(RawDriver().call("digest", root=str(made))["digest"])

    def packages(self) -> Packages:
        """What would be built. Raises QuernError."""
        with self._tidied():
            return self._packages()

    def ingredients(self) -> Ingredients:
        """What the packages would be built from. Raises QuernError."""
        with self._tidied():
            return self._resolved()[1]

    @contextmanager
    def _tidied(self) -> Iterator[None]:
        """Leaves the image's folder aside empty, and has no error name what goes with it."""
        from quern.steps.base import discard
        from quern.steps.work import check_path, check_sources

        check_path(self.image.work, "[build] workdir")
        check_path(self.scratch, "TMPDIR")
        check_sources(self.image.distfiles)
        try:
            yield
        except QuernError as error:
            error.args = (self._lasting(str(error)),)
            raise
        finally:
            if self.aside.work.is_dir():  # not where there was no room for it
                for path in self.aside.work.iterdir():  # in a container root has made some of it
                    discard(path, self.aside.work, self.run)

    def _lasting(self, message: str) -> str:
        """A message about the image aside, without its log, and with the paths that the image itself has."""
        lines = [line for line in message.splitlines() if not line.startswith(f"log: {self.scratch}/")]
        return "\n".join(lines).replace(str(self.aside.work), str(self.image.work))

    def _packages(self) -> Packages:
        from quern.portage import changes, ledger, lockfile, root_plan
        from quern.portage.closures import to_build
        from quern.portage.keys import read_ingredients
        from quern.portage.reasons import Reasons, may_be_kept
        from quern.portage.store import Store

        plan, now = self._resolved()
        lock = [lockfile.of_recipe(now.recipes[package.id]) for package in plan.packages]
        committed.check(self.image, lock)
        own = self.image.work / PackagesStep.name
        before = read_ingredients(own / INGREDIENTS)
        store = Store(self.image.binpkgs)
        stanzas = _stanzas(now.keys(), store, own / "view", before.keys() if before else {})
        missing = [package.cpv for package in plan.packages if package.cpv not in stanzas]
        keys = host_keys(now, self.image.work, plan.system)
        lacking = [each.id for each in plan.host if store.stanza(each.cpv, keys[each.id]) is None]
        for_root = [each.id for each in root_plan.on_host(plan) if each.id in lacking]
        built = [plan[name] for name in to_build(now.closures, [*missing, *for_root], lacking)]
        reasons = Reasons(before, now)
        why = {each.id: reasons.of(each.id) for each in built}
        maybe = may_be_kept(why, now.closures)
        there = [stanzas[cpv] for cpv in sorted(stanzas)]
        for_host = sorted((each.cpv, keys[each.id]) for each in root_plan.on_host(plan))
        on_host = [stanza for cpv, key in for_host if (stanza := store.stanza(cpv, key))]
        moves = changes.moves(_read(own / LOCK), lock, self._place)
        unknown = None if moves else ""
        return Packages(
            moves,
            {ledger.name_of(each): changes.phrases(why[each.id]) for each in built},
            [ledger.name_of(each) for each in built if each.id in maybe],
            unknown if missing or for_root else _digest(there, on_host, lock, plan),
        )

    @property
    def step(self) -> PackagesStep:
        """The step whose outcome is foreseen, with the work folder aside."""
        return PackagesStep(self.aside.work, False, setup_of(self.aside))

    def _resolved(self) -> tuple[Plan, Ingredients]:
        """The plan, and what it is built from."""
        from quern.portage.keys import ingredients
        from quern.steps.emerging import Build
        from quern.steps.resolution import resolve

        step = self.step
        place = step.place
        for folder in (place.staging, place.beside(PortageStep.name).output):
            folder.mkdir(parents=True)
        self._take_metadata()
        PortageStep(self.aside.work, False, step.setup).build(place.beside(PortageStep.name).output, self.run)
        build = Build(step.setup, self.run, place.staging, place.beside(PortageStep.name).output, place.log)
        build.prepare()
        plan = resolve(build, step.targets()).plan
        return plan, ingredients(plan, step.machine_of(self.run.driver))

    def _place(self, name: str, flag: str) -> str:
        """The line of the profile that asks for a package, or switches one of its flags."""
        from quern.portage import places

        folders = self._folders
        return places.of_flag(name, flag, folders) if flag else places.of_package(name, folders)

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return setup_of(self.image).stack().folders

    def _take_metadata(self) -> None:
        """Ebuilds whose metadata is known already need no bash to be read."""
        known, taken = self.image.work / METADATA, self.aside.work / METADATA
        with suppress(OSError):  # a build may be writing there, and may have put there anything
            if known.resolve() == self.image.work.resolve() / METADATA:
                _copy_files(known, taken)


def _copy_files(source: Path, target: Path) -> None:
    """Copy folders, and the files in them that are not being written. Raises OSError at one that is no cache's."""
    for entry in walk(os.fsencode(source)):
        name = os.fsdecode(entry.name)
        if stat.S_ISDIR(entry.status.st_mode):
            (target / name).mkdir(parents=True, exist_ok=True)
        elif ".update." not in name:
            (target / name).write_bytes(regular.content(source / name, LARGEST))


def _stanzas(
    keys: Mapping[str, str], store: Store, view: Path, former: Mapping[str, str]
) -> dict[str, Mapping[str, str]]:
    """The index stanzas of the packages that are there, in the store or in the image's own view."""
    from quern.portage.package_index import read_index

    own = {stanza["CPV"]: stanza for stanza in read_index(view) if former.get(stanza["CPV"]) == keys.get(stanza["CPV"])}
    found = {cpv: store.stanza(cpv, key) or own.get(cpv) for cpv, key in keys.items()}
    return {cpv: stanza for cpv, stanza in found.items() if stanza}


def _digest(
    stanzas: Sequence[Mapping[str, str]], on_host: Sequence[Mapping[str, str]], lock: Iterable[Locked], plan: Plan
) -> str:
    from quern.portage import lockfile, root_plan

    texts = lockfile.text(lockfile.with_origins(lock, stanzas)) + root_plan.text(root_plan.of_plan(plan))
    return digest_of([*stanzas, *on_host], texts)


def _read(lock: Path) -> list[Locked]:
    from quern.portage import lockfile

    try:
        return lockfile.parse(lock.read_text(encoding="utf-8", errors="replace"), str(lock))
    except (FileNotFoundError, BuildError):  # damaged: it is made anew
        return []


def _unsaid(line: str) -> None:
    pass
