"""root:NAME: the image root, complete: documentation, headers and the package database are still there.

build/NAME/root/image/
build/NAME/checkpoints/    copies of it as it was before the packages that change most (see checkpoints.py)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quern.errors import BuildError
from quern.portage.setup import Setup
from quern.steps import receipt as receipts
from quern.steps.base import Made, Run, Step, counted, megabytes
from quern.steps.receipt import Receipt

if TYPE_CHECKING:  # what only a build needs is imported there: an up-to-date step costs milliseconds
    from quern.portage.plan import Package, Plan
    from quern.steps.emerging import Build

PROTECT = b"CONFIG_PROTECT"


@dataclass(frozen=True, eq=False, repr=False)
class RootStep(Step):
    """Installs the packages."""

    name: ClassVar[str] = "root"
    doc: ClassVar[str] = "install the packages into the root of"
    parts: ClassVar[tuple[str, ...]] = ("image",)
    folders: ClassVar[tuple[str, ...]] = ("checkpoints",)
    emerges: ClassVar[bool] = True
    version: ClassVar[int] = 3

    setup: Setup

    def files(self) -> list[Path]:
        """The packages' digest."""
        return [self.place.beside("packages").digest]

    def inputs(self) -> dict[str, Any]:
        """The packages, the configuration root, the order of merging, and Portage."""
        build = self.setup.image.settings.build
        return {
            "packages": self.place.beside("packages").digest_text(),
            "portage": self.place.beside("portage").digest_text(),
            "sets": self.setup.sets(),
            "baselayout": build.baselayout_atoms,
            "installation": self.setup.portage_identity(),
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Merge from exactly the view, group by group, then take out what merging leaves behind."""
        from quern.portage import emerge
        from quern.steps.emerging import Build

        view = staging / "scratch/view"
        self._take_view(view)
        build = Build(self.setup, run, staging, self.place.beside("portage").output, self.place.log, view)
        build.prepare()
        plan = build.plan(emerge.install_options(build.jobs), self._targets())
        self._merge(build, plan)
        run.driver.call("finish", root=str(build.root), epoch=emerge.PACKAGE_EPOCH)
        run.driver.call("clear", root=str(build.root))
        build.clear()
        return Made({"packages": len(plan.packages)}, times=build.tally.shares)

    def made(self, receipt: Receipt) -> str:
        """How many packages, and what they take."""
        return f"{counted(receipt.info['packages'], 'package')}, {megabytes(receipt.info['bytes'])}"

    def _targets(self) -> list[str]:
        return [*self.setup.sets(), *self.setup.image.settings.build.baselayout_atoms]

    def _merge(self, build: Build, plan: Plan) -> None:
        """Merge the groups of packages that no checkpoint holds, and keep one after each group but the last."""
        from quern.portage import emerge
        from quern.steps import history
        from quern.steps.checkpoints import Checkpoints, chain

        options, settings = emerge.install_options(build.jobs), self.setup.image.settings.build
        groups = self._groups(plan)
        keys = chain(self._identity(build, plan), self._merged(build.view, groups))
        kept = keys[:-1][max(0, len(keys) - 1 - settings.checkpoints) :]
        checkpoints = Checkpoints(self.work / self.folders[0], kept, build.run)
        begun = checkpoints.restore(build.root, build.scratch / "unused")
        done = keys.index(begun) + 1 if begun else 0
        history.plan(self.place.times, [package.name for group in groups[done:] for package in group])
        if done:
            count = sum(map(len, groups[:done]))
            build.run.say(f"Starting from the checkpoint with {count} of {len(plan.packages)} packages")
        elif settings.baselayout_atoms:  # alone and first: they make the skeleton that others install into
            build.emerge(options, settings.baselayout_atoms)
        for number in range(done, len(groups)):
            is_last = number == len(groups) - 1
            build.emerge(options, self._targets() if is_last else [package.atom for package in groups[number]])
            build.check_merged(plan, [package.cpv for group in groups[: number + 1] for package in group])
            if not is_last:
                checkpoints.keep(keys[number], build.root)
        checkpoints.finish()

    def _groups(self, plan: Plan) -> list[tuple[Package, ...]]:
        from quern.portage import order, profile_files
        from quern.portage.atom import package_of

        settings = self.setup.image.settings.build
        lines = profile_files.lines(self.setup.stack().folders[-1] / "packages")
        own = {name for line in lines if (name := package_of(line.text.lstrip("*")))}
        first = {name for atom in settings.baselayout_atoms if (name := package_of(atom))}
        return order.groups(plan.packages, own, first)

    def _identity(self, build: Build, plan: Plan) -> dict[str, Any]:
        """What a root depends on besides the binary packages that were merged and their order.

        Not the whole configuration root: another USE flag is in the packages that have it. Of what the plan's
        variables leave out only CONFIG_PROTECT matters where packages are merged.
        """
        from quern.portage import emerge
        from quern.portage.keys import file_digest

        defaults = [folder / "make.defaults" for folder in self.setup.stack().folders]
        return {
            "version": self.version,
            "options": emerge.install_options(1),
            "installation": self.setup.portage_identity(),
            "baselayout": self.setup.image.settings.build.baselayout_atoms,
            "variables": plan.variables,
            "protection": [file_digest(path) for path in defaults if path.is_file() and PROTECT in path.read_bytes()],
            "machine": [build.machine.root, build.machine.gentoo],
        }

    @staticmethod
    def _merged(view: Path, groups: list[tuple[Package, ...]]) -> list[list[str]]:
        """What is merged in each group: packages, in order, each with the digest of its binary package."""
        from quern.portage import store

        digests = {stanza["CPV"]: stanza["SHA1"] for stanza in store.read_index(view)}
        return [[f"{package.atom} {digests[package.cpv]}" for package in group] for group in groups]

    def _take_view(self, view: Path) -> None:
        """Link the packages; if they are not what `packages` made, have that step run again at the next occasion."""
        from quern.portage import lockfile, store

        packages = self.place.beside("packages")
        try:
            store.check_view(packages.output / "view", lockfile.cpvs(packages.output / lockfile.NAME))
        except BuildError:
            receipts.remove(packages.receipt)
            raise
        store.link_view(packages.output / "view", view)
