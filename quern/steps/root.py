"""root:NAME: the image root, complete: documentation, headers and the package database are still there.

build/NAME/root/image/
build/NAME/root/made.json    which package's phases have made what no package has installed
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from quern.errors import BuildError
from quern.portage.setup import Setup
from quern.steps import receipt as receipts
from quern.steps.base import Made, Run, Step, counted, discard, megabytes
from quern.steps.packages import ON_HOST, ROOT_PLAN, digest_in
from quern.steps.receipt import Receipt


@dataclass(frozen=True, eq=False, repr=False)
class RootStep(Step):
    """Installs the packages."""

    name: ClassVar[str] = "root"
    doc: ClassVar[str] = "install the packages into the root of"
    parts: ClassVar[tuple[str, ...]] = ("image",)
    emerges: ClassVar[bool] = True
    version: ClassVar[int] = 5

    setup: Setup

    def files(self) -> list[Path]:
        """The packages' digest."""
        return [self.place.beside("packages").digest]

    def inputs(self) -> dict[str, Any]:
        """The packages and what of them is installed, the configuration root, and Portage."""
        return {
            "packages": self.place.beside("packages").digest_text(),
            "portage": self.place.beside("portage").digest_text(),
            "installation": self.setup.portage_identity(),
            "confined": self.setup.wants_confinement,
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Merge the packages that the plan names from exactly the view."""
        from quern.portage import root_plan
        from quern.portage.plan import package_name
        from quern.steps import history, merging
        from quern.steps.emerging import Build

        for warning in self.setup.image.settings.warnings:
            run.say(warning)
        discard(self.work / "checkpoints", self.work, run)  # of an earlier version
        packages = self.place.beside("packages")
        view = staging / "scratch/view"
        self._take_view(view)
        plan = root_plan.read(packages.output / ROOT_PLAN)
        config = self.place.beside("portage").output
        build = Build(self.setup, run, staging, config, self.place.log, view, renames=True)
        build.prepare()
        history.plan(self.place.times, [package_name(cpv) for cpv, _ in plan.packages])
        merging.merge(build, plan)
        build.clear()
        return Made({"packages": len(plan.packages)}, times=build.tally.shares)

    def made(self, receipt: Receipt) -> str:
        """How many packages, and what they take."""
        return f"{counted(receipt.info['packages'], 'package')}, {megabytes(receipt.info['bytes'])}"

    def _take_view(self, view: Path) -> None:
        """Copy the packages; if they are not what `packages` made, have that step run again at the next occasion."""
        from quern.portage import lockfile, package_index, store
        from quern.steps import merging

        packages = self.place.beside("packages")
        try:
            store.check_view(packages.output / "view", lockfile.cpvs(packages.output / lockfile.NAME))
            on_host = packages.output / ON_HOST
            store.check_view(on_host, [stanza["CPV"] for stanza in package_index.read_index(on_host)])
            if digest_in(packages.output) != packages.digest_text():
                raise BuildError(f"{packages.output} was damaged; run it again, and it is made anew")
        except BuildError:
            receipts.remove(packages.receipt)
            raise
        store.copy_view(packages.output / "view", view)
        if on_host.is_dir():
            store.copy_view(on_host, view.with_name(merging.ON_HOST))
