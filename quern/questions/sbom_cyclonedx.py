"""A bill of materials as CycloneDX 1.6, in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from uuid import UUID

from cyclonedx.model import ExternalReference, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model import ExternalReferenceType as Link
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as Part
from cyclonedx.model.component import ComponentType
from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from quern import __version__
from quern.portage.licences import expression, references
from quern.questions.bill import Bill, Component, Source
from quern.questions.purl import name_and_tag, of_image, of_package

ALGORITHMS = {  # names in a Manifest (GLEP 74)
    "BLAKE2B": HashAlgorithm.BLAKE2B_512,
    "SHA512": HashAlgorithm.SHA_512,
    "SHA256": HashAlgorithm.SHA_256,
    "SHA3_256": HashAlgorithm.SHA3_256,
    "SHA3_512": HashAlgorithm.SHA3_512,
}


def text(bill: Bill, identity: str) -> str:
    """The document; `identity`, a UUID, is its serial number."""
    image, parts = _image(bill), {component.cpv: _part(component) for component in bill.components}
    bom = Bom(
        serial_number=UUID(identity),
        metadata=BomMetaData(
            timestamp=datetime.fromtimestamp(bill.epoch, timezone.utc),
            tools=ToolRepository(components=[Part(name="quern", version=__version__, type=ComponentType.APPLICATION)]),
            component=image,
            supplier=_supplier(bill),
        ),
        components=parts.values(),
        dependencies=[Dependency(image.bom_ref, _dependencies(parts.values()))]
        + [
            Dependency(parts[each.cpv].bom_ref, _dependencies(parts[cpv] for cpv in each.needs if cpv in parts))
            for each in bill.components
        ],
    )
    written: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return f"{written}\n"


def _dependencies(parts: Iterable[Part]) -> list[Dependency]:
    return [Dependency(part.bom_ref) for part in parts]


def _supplier(bill: Bill) -> OrganizationalEntity | None:
    name, address = bill.supplier
    contacts = [OrganizationalContact(name=name, email=address)] if address else []
    return OrganizationalEntity(name=name, contacts=contacts) if name else None


def _image(bill: Bill) -> Part:
    name, tag = name_and_tag(bill)
    purl = of_image(bill)
    return Part(
        type=ComponentType.CONTAINER,
        name=name,
        version=tag,
        bom_ref=str(purl),
        purl=purl,
        supplier=_supplier(bill),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=bill.archive.removeprefix("sha256:"))],
        properties=[
            Property(name="quern:image:id", value=bill.config),
            Property(name="quern:image:manifest", value=bill.manifest),
        ],
    )


def _part(component: Component) -> Part:
    purl = of_package(component)
    return Part(
        type=ComponentType.LIBRARY,
        group=component.category,
        name=component.package,
        version=component.version,
        description=component.description or None,
        bom_ref=str(purl),
        purl=purl,
        supplier=OrganizationalEntity(name=f"{component.repository} (ebuild repository)"),
        licenses=_licences(component.licence),
        external_references=[
            *(ExternalReference(type=Link.WEBSITE, url=XsUri(url)) for url in component.homepage.split()),
            *(reference for source in component.sources for reference in _source(source)),
        ],
        properties=[
            Property(name="gentoo:repository", value=component.repository),
            Property(name="gentoo:slot", value=component.slot),
            *(Property(name="gentoo:use", value=flag) for flag in component.use),
        ],
    )


def _licences(text: str) -> list[License]:
    """The licence: by its SPDX id or its name where it is one, else as an expression."""
    said = LicenseAcknowledgement.DECLARED
    spdx = expression(text)
    if not spdx:
        return []
    if " " in spdx:
        return [LicenseExpression(spdx, acknowledgement=said)]
    if name := references(text).get(spdx):
        return [DisjunctiveLicense(name=name, acknowledgement=said)]
    return [DisjunctiveLicense(id=spdx, acknowledgement=said)]


def _source(source: Source) -> Iterable[ExternalReference]:
    known = [(ALGORITHMS[name], value) for name, value in source.digests.items() if name in ALGORITHMS]
    hashes = [HashType(alg=algorithm, content=value) for algorithm, value in known]
    for uri in source.uris:
        yield ExternalReference(type=Link.SOURCE_DISTRIBUTION, url=XsUri(uri), hashes=hashes, comment=source.name)
