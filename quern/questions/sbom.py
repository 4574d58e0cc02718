"""sbom:NAME: what is in an image, as bills of materials that others read. It is built first where it is not up to date.

OUTDIR/NAME.spdx.json        SPDX 2.3
OUTDIR/NAME.cdx.json         CycloneDX 1.6
OUTDIR/NAME.sbom.tar         the image's archive, with both attached

The same image gives the same bytes. The archive itself stays as it is: its digest is what its step made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quern import oci
from quern.errors import DriverError, display
from quern.project import Image
from quern.questions import written
from quern.questions.base import check_outdir
from quern.questions.bill import bill_of, identity
from quern.steps import receipt as receipts
from quern.steps.base import Run
from quern.steps.image import FILE, ImageStep, layer_of
from quern.steps.lock import locked

if TYPE_CHECKING:
    from quern import oci

NEEDS = "{}: {} is not installed; `pip install 'quern-builder[sbom]'` brings what writes SPDX and CycloneDX"


def answer(image: Image, run: Run) -> None:
    """Write them. Raises DriverError without the extra `sbom`, and BuildError."""
    try:
        from quern.questions import sbom_cyclonedx, sbom_spdx
    except ImportError as error:
        raise DriverError(NEEDS.format(f"sbom:{image.name}", error.name)) from None

    check_outdir(image)
    with locked(image.work / "lock", run.say):
        bill = bill_of(image, run)
        spdx, cyclonedx = sbom_spdx.text(bill, identity(bill)), sbom_cyclonedx.text(bill, identity(bill))
        documents = [
            oci.Document("application/spdx+json", spdx.encode()),
            oci.Document("application/vnd.cyclonedx+json", cyclonedx.encode()),
        ]
        _write(image, documents)
    for path in written.sbom(image):
        run.say(f"{display(path)} is written")


def _write(image: Image, documents: list[oci.Document]) -> None:
    """The archive, which may find no room, is whole before one of the three is replaced."""
    layer, packed = layer_of(image)
    *texts, attached = written.sbom(image)
    aside = attached.with_name(f".{attached.name}.new")
    aside.unlink(missing_ok=True)
    try:
        oci.attach(aside, receipts.Place(image.work, ImageStep.name).output / FILE, layer, documents, packed["epoch"])
        for path, document in zip(texts, documents, strict=True):
            receipts.write_atomically(path, document.data.decode())
        aside.replace(attached)
    finally:
        aside.unlink(missing_ok=True)
    receipts.sync_folder(attached.parent)
