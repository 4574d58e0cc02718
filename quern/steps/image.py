"""image:NAME: the image archive, loaded into the docker daemon and tagged there.

build/NAME/image/image.oci.tar
build/NAME/image/inventory.json.gz  what is in it; and of the image before, former.json.gz (see inventory.py)
OUTDIR/NAME.oci.tar                 a hard link to it: what docker, podman and skopeo load
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quern import __version__
from quern.config.container import DATE
from quern.errors import BuildError, EngineError, EngineUnavailable, display
from quern.portage.platform import Platform
from quern.portage.setup import Setup
from quern.project import Image
from quern.steps import receipt as receipts
from quern.steps.base import Made, Run, Step
from quern.steps.packages import LOCK
from quern.steps.receipt import Receipt
from quern.steps.tarball import tarball_of

if TYPE_CHECKING:
    from quern import oci
    from quern.inventory import File

FILE, INVENTORY = "image.oci.tar", "inventory.json.gz"
# Seconds a daemon has to answer whether the tag is there: where one is wished for but not required, a run that has
# nothing to do must not wait for one that hangs.
PATIENCE = {"docker": 2.0, "none": 0.0, None: 0.012}


@dataclass(frozen=True, eq=False, repr=False)
class ImageStep(Step):
    """Makes and loads the image."""

    name: ClassVar[str] = "image"
    doc: ClassVar[str] = "make and tag the image"
    parts: ClassVar[tuple[str, ...]] = (FILE, INVENTORY)
    version: ClassVar[int] = 2

    setup: Setup

    def files(self) -> list[Path]:
        """The tarball's digest."""
        return [self.place.beside("tarball").digest]

    def inputs(self) -> dict[str, Any]:
        """The tarball, what [dockergen] says, and the labels' contents."""
        image = self.setup.image
        return {
            "tarball": self.place.beside("tarball").digest_text(),
            "platform": self._platform(),
            "dockergen": image.settings.dockergen._asdict(),
            "profile": self.setup.profile,
            "version": __version__,
            "closure": image.settings.build.closure,
            "archive": str(image.archive),
            "source_date_epoch": image.settings.build.source_date_epoch,
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Write the archive around the tarball, and what is in it."""
        from quern import inventory, oci
        from quern.steps import start

        layer, packed = layer_of(self.setup.image)
        content = self._content(run)
        root, strip = (self.place.beside(name).output / "image" for name in ("root", "strip"))
        start.check(self.setup.image, strip, root, run)
        epoch, reference, config = packed["epoch"], self._reference(packed["date"]), self._config(packed["epoch"])
        archive = oci.write_archive(
            staging / FILE, layer, config, reference, epoch, self.setup.image.settings.dockergen.annotations
        )
        inventory.write(
            staging / INVENTORY,
            inventory.Inventory(
                reference,
                [archive.config_digest, archive.manifest_digest],
                oci.image_json(config, layer.diff_id, epoch),
                *content,
            ),
        )
        former = (self.place.output, self.place.aside)  # one of them, if an earlier run was killed
        inventory.keep_former(former, archive.config_digest, staging / inventory.FORMER)
        info = {"reference": reference, "ids": [archive.config_digest, archive.manifest_digest], "size": archive.size}
        return Made(info, archive.digest)

    def _content(self, run: Run) -> tuple[str, list[File]]:
        """The lock of the installed packages, and the files."""
        from quern.inventory import lock_of, of_rows

        if receipts.of_one_build(self.work, ("packages", "root", "strip", "tarball")) is None:
            raise BuildError(f"{self.setup.image.name} is being built by another run as well; run it again")
        packages, root, strip = (self.place.beside(name).output for name in ("packages", "root", "strip"))
        answer = run.driver.call("inventory", root=str(strip / "image"), database=str(root / "image"))
        return lock_of(packages / LOCK, answer["packages"]), of_rows(answer["files"])

    def _reference(self, date: str) -> str:
        """NAME:TAG; `date` (YYYY-MM-DD) is the content's day."""
        return self.setup.image.reference.replace(DATE, date.replace("-", ""))

    def _platform(self) -> Platform | None:
        """What the packages are for, as their step read it from the plan; None while there is no plan."""
        receipt = receipts.read(self.place.beside("packages").receipt)
        return Platform(*receipt.info["platform"]) if receipt and "platform" in receipt.info else None

    def _config(self, epoch: int) -> oci.ImageConfig:
        from quern import oci

        image, said = self.setup.image, self.setup.image.settings.dockergen
        platform = self._platform()
        assert platform is not None
        labels = oci.image_labels(
            said.labels,
            name=image.output_name,
            tag="" if DATE in said.tag else said.tag,  # the image id does not depend on the day
            profile=self.setup.profile,
            author=said.maintainer,
            epoch=epoch,
        )
        return oci.ImageConfig(
            entrypoint=said.entrypoint,
            command=said.command,
            ports=said.ports,
            volumes=said.volumes,
            workdir=said.workdir,
            user=said.user,
            env=said.env,
            labels=labels,
            stop_signal=said.stop_signal,
            author=said.maintainer,
            architecture=platform.architecture,
            variant=platform.variant,
        )

    def made(self, receipt: Receipt) -> str:
        """Its name, and where it is."""
        return f"{receipt.info['reference']}, {display(self.setup.image.archive)}"

    def published(self, info: Mapping[str, Any]) -> dict[Path, str]:
        """The archive's name in outdir."""
        return {self.setup.image.archive: FILE}

    def lacking(self, receipt: Receipt) -> str | None:
        """The tag, where a daemon answers and has none or another image by it."""
        return self._lacking(receipt, PATIENCE[self.setup.image.settings.postbuild.engines])

    def _lacking(self, receipt: Receipt, patience: float) -> str | None:
        """See `lacking`; `patience` is the seconds that the daemon has to answer."""
        from quern.engine import tagged_image_id

        settings = self.setup.image.settings
        engine, reference = settings.postbuild.engines, receipt.info["reference"]
        if engine == "none":
            return None
        try:
            found = tagged_image_id(settings.docker.daemon, reference, patience)
        except EngineUnavailable:
            return reference if engine else None
        except EngineError:
            return str(reference)
        return None if found in receipt.info["ids"] else reference

    def settle(self, receipt: Receipt, run: Run) -> None:
        """Load and tag. Raises EngineError if that fails; an absent daemon is an error only where one is required."""
        from quern.engine import load_and_tag, ping

        settings, archive = self.setup.image.settings, self.setup.image.archive
        reference, daemon = receipt.info["reference"], settings.docker.daemon
        if settings.postbuild.engines == "none":
            return
        try:
            ping(daemon, PATIENCE["docker"])
        except EngineUnavailable as error:
            if settings.postbuild.engines:
                raise
            run.say(f"{error}; {archive} was not loaded")
            return
        if self._lacking(receipt, PATIENCE["docker"]):  # it answers: one far away may take longer than a no-op may
            run.say("Connecting to docker")
            run.say(f"Building full image {reference} from {archive}")
            image_id = load_and_tag(daemon, self.place.output / FILE, [reference], receipt.info["ids"])
            run.say(f"Image {reference} successfully built: {image_id}")


def layer_of(image: Image) -> tuple[oci.Layer, Mapping[str, Any]]:
    """The finished tarball as the layer of an archive, and what its step noted (see `tarball_of`)."""
    from quern import oci

    tarball, packed = tarball_of(image)
    media_type = oci.LAYER_TYPES[image.settings.build.compression]
    return oci.Layer(tarball, packed["digest"], packed["diff_id"], packed["size"], media_type), packed
