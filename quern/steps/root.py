"""root:NAME: the image root, complete: documentation, headers and the package database are still there.

build/NAME/root/image/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from quern.errors import BuildError
from quern.portage.setup import Setup
from quern.steps import receipt as receipts
from quern.steps.base import Made, Run, Step, discard


@dataclass(frozen=True, eq=False, repr=False)
class RootStep(Step):
    """Installs the packages."""

    name: ClassVar[str] = "root"
    doc: ClassVar[str] = "install the packages into the root of"
    parts: ClassVar[tuple[str, ...]] = ("image",)

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
        """Merge from exactly the view, then take out what merging leaves behind."""
        from quern.portage import emerge
        from quern.steps.emerging import Build

        settings = self.setup.image.settings.build
        view = staging / "view"
        self._take_view(view)
        build = Build(self.setup, run, staging, self.place.beside("portage").output, self.place.log, view)
        build.prepare()
        options = emerge.install_options(build.jobs)
        targets = [*self.setup.sets(), *settings.baselayout_atoms]
        plan = build.plan(options, targets)
        if settings.baselayout_atoms:  # alone and first: they make the skeleton that others install into
            build.emerge(options, settings.baselayout_atoms)
        build.emerge(options, targets)
        build.check_merged(plan, [package.cpv for package in plan.packages])
        run.driver.call("finish", root=str(build.root), epoch=emerge.PACKAGE_EPOCH)
        build.clear()
        discard(view, staging, run)
        return Made({"packages": len(plan.packages)})

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
