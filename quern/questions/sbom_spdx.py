"""A bill of materials as SPDX 2.3, in JSON."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from license_expression import get_spdx_licensing
from spdx_tools.spdx import model
from spdx_tools.spdx.model import RelationshipType as Kind
from spdx_tools.spdx.validation.uri_validators import validate_download_location, validate_url
from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

from quern import __version__
from quern.errors import BuildError
from quern.portage.licences import expression, references
from quern.questions.bill import Bill, Component, Source
from quern.questions.purl import name_and_tag, of_image, of_package

DOCUMENT, IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-Image"
ALGORITHMS = {  # names in a Manifest (GLEP 74)
    "BLAKE2B": model.ChecksumAlgorithm.BLAKE2B_512,
    "SHA512": model.ChecksumAlgorithm.SHA512,
    "SHA256": model.ChecksumAlgorithm.SHA256,
    "SHA3_256": model.ChecksumAlgorithm.SHA3_256,
    "SHA3_512": model.ChecksumAlgorithm.SHA3_512,
}


def text(bill: Bill, identity: str) -> str:
    """The document; `identity`, a UUID, makes its namespace. Raises BuildError if it would not be valid."""
    name, _ = name_and_tag(bill)
    document = model.Document(
        model.CreationInfo(
            spdx_version="SPDX-2.3",
            spdx_id=DOCUMENT,
            name=name,
            document_namespace=f"https://spdx.org/spdxdocs/{name}-{identity}",  # a name only (SPDX 2.3, 6.5)
            creators=[model.Actor(model.ActorType.TOOL, f"quern-{__version__}"), *_suppliers(bill)],
            created=datetime.fromtimestamp(bill.epoch, timezone.utc),
        ),
        packages=[_image(bill), *map(_package, bill.components), *_sources(bill.components)],
        relationships=list(_relationships(bill.components)),
        extracted_licensing_info=_licences(bill.components),
    )
    stream = io.StringIO()
    try:
        write_document_to_stream(document, stream)
    except ValueError as error:
        raise BuildError(f"{name}: no valid SPDX document can be made of it: {error}") from None
    return stream.getvalue() + "\n"


def _suppliers(bill: Bill) -> list[model.Actor]:
    name, address = bill.supplier
    return [model.Actor(model.ActorType.PERSON, name, address or None)] if name else []


def _image(bill: Bill) -> model.Package:
    name, tag = name_and_tag(bill)
    return model.Package(
        IMAGE,
        name,
        model.SpdxNoAssertion(),
        version=tag,
        supplier=next(iter(_suppliers(bill)), model.SpdxNoAssertion()),
        files_analyzed=False,
        checksums=[model.Checksum(model.ChecksumAlgorithm.SHA256, bill.archive.removeprefix("sha256:"))],
        comment=f"image id {bill.config}, manifest {bill.manifest}; the checksum is that of the archive",
        external_references=[_purl(str(of_image(bill)))],
        primary_package_purpose=model.PackagePurpose.CONTAINER,
    )


def _package(component: Component) -> model.Package:
    licence = expression(component.licence)
    homepages = [url for url in component.homepage.split() if not validate_url(url)]
    return model.Package(
        _id(component.cpv),
        f"{component.category}/{component.package}",
        model.SpdxNoAssertion(),
        version=component.version,
        supplier=model.Actor(model.ActorType.ORGANIZATION, f"{component.repository} (ebuild repository)"),
        files_analyzed=False,
        homepage=homepages[0] if homepages else None,
        source_info=f"{component.cpv}.ebuild of the repository {component.repository}, slot {component.slot}",
        license_concluded=model.SpdxNoAssertion(),
        license_declared=get_spdx_licensing().parse(licence) if licence else model.SpdxNoAssertion(),
        copyright_text=model.SpdxNoAssertion(),
        summary=component.description or None,
        comment=f"USE: {' '.join(component.use)}" if component.use else None,
        external_references=[_purl(str(of_package(component)))],
    )


def _purl(locator: str) -> model.ExternalPackageRef:
    return model.ExternalPackageRef(model.ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", locator)


def _sources(components: Iterable[Component]) -> Iterator[model.Package]:
    for component in components:
        for source in component.sources:
            yield _source(component, source)


def _source(component: Component, source: Source) -> model.Package:
    known = [(ALGORITHMS[name], value) for name, value in source.digests.items() if name in ALGORITHMS]
    places = [uri for uri in source.uris if not validate_download_location(uri)]
    return model.Package(
        _source_id(component, source),
        source.name,
        places[0] if places else model.SpdxNoAssertion(),
        version=re.sub(r"-r\d+\Z", "", component.version),
        supplier=model.SpdxNoAssertion(),
        files_analyzed=False,
        checksums=[model.Checksum(algorithm, value) for algorithm, value in known],
        comment="\n".join(source.uris) or None,
        primary_package_purpose=model.PackagePurpose.SOURCE,
    )


def _relationships(components: list[Component]) -> Iterator[model.Relationship]:
    yield model.Relationship(DOCUMENT, Kind.DESCRIBES, IMAGE)
    there = {component.cpv for component in components}
    for component in components:
        own = _id(component.cpv)
        yield model.Relationship(IMAGE, Kind.CONTAINS, own)
        for cpv in component.needs:
            if cpv in there:
                yield model.Relationship(own, Kind.DEPENDS_ON, _id(cpv))
        for source in component.sources:
            yield model.Relationship(own, Kind.GENERATED_FROM, _source_id(component, source))


def _licences(components: Iterable[Component]) -> list[model.ExtractedLicensingInfo]:
    """What stands for the licences that SPDX does not have; their text is the repository's."""
    found: dict[str, tuple[str, str]] = {}
    for component in components:
        for reference, name in references(component.licence).items():
            found.setdefault(reference, (name, component.repository))
    return [
        model.ExtractedLicensingInfo(reference, f"See licenses/{name} of the ebuild repository {repository}", name)
        for reference, (name, repository) in sorted(found.items())
    ]


def _id(cpv: str) -> str:
    return f"SPDXRef-Package-{_letters(cpv)}"


def _source_id(component: Component, source: Source) -> str:
    return f"SPDXRef-Source-{_letters(component.cpv)}-{_letters(source.name)}"


def _letters(text: str) -> str:
    """`text` as a part of an SPDX id, which has letters, digits, `.` and `-`; different for different texts."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda match: "." if match[0] == "/" else f"-x{ord(match[0]):x}-", text)
