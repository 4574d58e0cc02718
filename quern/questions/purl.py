"""The package URLs (purl) of an image and its packages.

purl-spec has `ebuild` on its list of types without a definition yet; scanners write and match it as
`pkg:ebuild/CATEGORY/PACKAGE@VERSION`. The qualifier `repository` tells an overlay's package from Gentoo's own.
"""

from __future__ import annotations

from packageurl import PackageURL

from quern.questions.bill import Bill, Component


def of_package(component: Component) -> PackageURL:
    """`pkg:ebuild/sys-libs/zlib@1.3.1?repository=gentoo`."""
    qualifiers = {"repository": component.repository}
    return PackageURL("ebuild", component.category, component.package, component.version, qualifiers)


def of_image(bill: Bill) -> PackageURL:
    """`pkg:oci/NAME@sha256:...?tag=TAG` of the manifest, as purl-spec defines it."""
    name, tag = name_and_tag(bill)
    folder, _, last = name.rpartition("/")
    return PackageURL(
        "oci", None, last.lower(), bill.manifest, {"tag": tag, "repository_url": name.lower() if folder else None}
    )


def name_and_tag(bill: Bill) -> tuple[str, str]:
    """The two parts of the image's reference."""
    name, _, tag = bill.reference.rpartition(":")
    return name, tag
