"""`doit sbom:NAME`: read back and validated by the libraries of the standards."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import quern.questions
from quern.errors import BuildError, DriverError
from quern.project import Image, project_images
from quern.questions import SBOM
from tests.building import CHECKOUT, Project
from tests.conftest import Stock
from tests.projects import run, write
from tests.test_emerging import TREE, ebuild

pytest.importorskip("spdx_tools", reason="spdx-tools is missing (pip)")
pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is missing (pip)")

SOURCE = b"what top is made from\n"
DIGESTS = {"BLAKE2B": hashlib.blake2b(SOURCE).hexdigest(), "SHA512": hashlib.sha512(SOURCE).hexdigest()}
TOP = """\
HOMEPAGE="https://top.example.org/ https://elsewhere.example.org/"
SRC_URI="mirror://lab/top-1.txt https://top.example.org/top-1.txt doc? ( https://top.example.org/doc.txt )"
LICENSE="GPL-2+ small? ( || ( MIT own_terms ) ) doc? ( FDL-1.3 )"
IUSE="+small doc"
DEPEND="lab/base lab/headers"
RDEPEND="lab/base lab/leaf:="
src_unpack() { :; }
"""
FILES = {
    "lab/top/top-1.ebuild": ebuild(TOP).replace('LICENSE="none"\n', "", 1),
    "lab/top/Manifest": f"DIST top-1.txt {len(SOURCE)} BLAKE2B {DIGESTS['BLAKE2B']} SHA512 {DIGESTS['SHA512']}\n",
    "lab/base/base-1.ebuild": ebuild().replace('"none"', '"MIT"'),
    "profiles/thirdpartymirrors": "lab https://mirror.example.org/lab/ https://other.example.org\n",
}
CONF = """\
[portage]
repositories = ./tree
[postbuild]
engines = none
[build]
source_date_epoch = 1463400000
[strip]
paths = /var/db/pkg
[dockergen]
name = example.org/team/one
tag = 1.0
maintainer = Some One <one@example.org>
"""
FLAGS = ["-doc", "small"]


def make_project(folder: Path, shared: Path) -> Project:
    """A project of one image; those with the same folder `shared` share their packages."""
    write(folder, {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"})
    write(folder / "profiles/one", {"quern.conf": CONF, "parent": "lab:image\n"})
    write(folder / "tree", {**TREE, **FILES})
    write(shared, {"distfiles/top-1.txt": SOURCE.decode()})
    names = {"QUERN_PORTAGE_DISTFILES": "distfiles", "QUERN_PORTAGE_BINPKG": "binpkgs"}
    return Project(folder, {variable: str(shared / name) for variable, name in names.items()})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Project:
    """A project whose image was built and asked about."""
    folder = tmp_path_factory.mktemp("sbom")
    stock(folder / "shared/binpkgs")
    project = make_project(folder / "project", folder / "shared")
    project.doit("sbom:one")
    return project


def image_of(project: Project) -> Image:
    (image,) = project_images(project.folder, project.variables)
    return image


def written(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in SBOM.files(image_of(project))}


def receipt(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project.folder / "build/one/image.json").read_text())
    return found


@pytest.mark.emerge
def test_spdx(project: Project) -> None:
    from spdx_tools.spdx.parser.parse_anything import parse_file
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    path = project.folder / "images/one.spdx.json"
    assert validate_full_spdx_document(parse_file(str(path))) == []
    document = json.loads(path.read_text())
    assert document["creationInfo"]["created"] == "2016-05-16T12:00:00Z"
    assert document["creationInfo"]["creators"][1:] == ["Person: Some One (one@example.org)"]
    packages = {package["name"]: package for package in document["packages"]}
    assert sorted(packages) == ["example.org/team/one", "lab/base", "lab/leaf", "lab/top", "top-1.txt"]
    image, made = packages["example.org/team/one"], receipt(project)
    assert image["checksums"] == [{"algorithm": "SHA256", "checksumValue": made["digest"].removeprefix("sha256:")}]
    assert all(digest in image["comment"] for digest in made["info"]["ids"])
    assert (image["versionInfo"], image["primaryPackagePurpose"]) == ("1.0", "CONTAINER")
    top = packages["lab/top"]
    assert top["licenseDeclared"] == "GPL-2.0-or-later AND (MIT OR LicenseRef-own-terms)"
    assert (top["versionInfo"], top["homepage"]) == ("1", "https://top.example.org/")
    assert top["externalRefs"][0]["referenceLocator"] == "pkg:ebuild/lab/top@1?repository=lab"
    assert top["comment"] == f"USE: {' '.join(FLAGS)}"
    source = packages["top-1.txt"]
    assert source["downloadLocation"] == "https://mirror.example.org/lab/top-1.txt"
    assert {each["algorithm"]: each["checksumValue"] for each in source["checksums"]} == {
        "BLAKE2b-512": DIGESTS["BLAKE2B"],
        "SHA512": DIGESTS["SHA512"],
    }
    names = {package["SPDXID"]: package["name"] for package in document["packages"]}
    edges = {
        (names.get(each["spdxElementId"]), each["relationshipType"], names[each["relatedSpdxElement"]])
        for each in document["relationships"]
    }
    assert edges == {
        (None, "DESCRIBES", "example.org/team/one"),
        *(("example.org/team/one", "CONTAINS", f"lab/{name}") for name in ("base", "leaf", "top")),
        *(("lab/top", "DEPENDS_ON", f"lab/{name}") for name in ("base", "leaf")),
        ("lab/top", "GENERATED_FROM", "top-1.txt"),
    }


@pytest.mark.emerge
def test_cyclonedx(project: Project) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (project.folder / "images/one.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document, made = json.loads(text), receipt(project)
    image = document["metadata"]["component"]
    config, manifest = made["info"]["ids"]
    assert image["purl"] == f"pkg:oci/one@{manifest}?repository_url=example.org/team/one&tag=1.0"
    assert {"name": "quern:image:id", "value": config} in image["properties"]
    assert document["metadata"]["supplier"]["name"] == "Some One"
    parts = {f"{part['group']}/{part['name']}": part for part in document["components"]}
    assert sorted(parts) == ["lab/base", "lab/leaf", "lab/top"]
    assert parts["lab/base"]["licenses"] == [{"license": {"acknowledgement": "declared", "id": "MIT"}}]
    assert parts["lab/leaf"]["licenses"] == [{"license": {"acknowledgement": "declared", "name": "none"}}]
    top = parts["lab/top"]
    assert [row["value"] for row in top["properties"] if row["name"] == "gentoo:use"] == FLAGS
    sources = [row for row in top["externalReferences"] if row["type"] == "source-distribution"]
    assert [row["url"] for row in sources] == [
        "https://mirror.example.org/lab/top-1.txt", "https://top.example.org/top-1.txt",
    ]  # fmt: skip
    hashes = [{"alg": "BLAKE2b-512", "content": DIGESTS["BLAKE2B"]}, {"alg": "SHA-512", "content": DIGESTS["SHA512"]}]
    assert all(row["hashes"] == hashes for row in sources)
    needs = {row["ref"]: row.get("dependsOn") for row in document["dependencies"]}
    assert needs[top["bom-ref"]] == [parts["lab/base"]["bom-ref"], parts["lab/leaf"]["bom-ref"]]
    assert needs[image["bom-ref"]] == sorted(part["bom-ref"] for part in parts.values())


@pytest.mark.emerge
def test_attached_to_a_copy_of_the_archive(project: Project) -> None:
    archive = project.folder / "images/one.oci.tar"
    assert f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}" == receipt(project)["digest"]
    assert project.doit("image:one") == "".join(
        f"-- {step}:one\n" for step in ("portage", "packages", "root", "strip", "tarball", "image")
    )
    with tarfile.open(project.folder / "images/one.sbom.tar") as tar:
        found = {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}
    texts = written(project)
    for end in (".spdx.json", ".cdx.json"):
        text = texts[f"one{end}"]
        assert found[f"blobs/sha256/{hashlib.sha256(text).hexdigest()}"] == text


@pytest.mark.emerge
def test_same_inputs_same_bytes(project: Project, tmp_path: Path) -> None:
    before = written(project)
    assert "images/one.cdx.json is written" in project.doit("sbom:one")
    assert written(project) == before
    elsewhere = make_project(tmp_path / "elsewhere", project.folder.parent / "shared")
    elsewhere.doit("sbom:one")
    assert written(elsewhere) == before
    elsewhere.doit("clean", "sbom:one")
    assert not any(path.exists() for path in SBOM.files(image_of(elsewhere)))
    assert (elsewhere.folder / "images/one.oci.tar").exists()


@pytest.mark.emerge
def test_a_failure_leaves_what_was_there(project: Project, tmp_path: Path) -> None:
    copy = Project(shutil.copytree(project.folder, tmp_path / "copy", symlinks=True), project.variables)
    before = written(copy)
    tarball = copy.folder / "build/one/tarball/image.tar.gz"
    tarball.unlink()  # its other name keeps the bytes
    tarball.write_bytes(b"damaged")
    with pytest.raises(BuildError, match="is not what was packed"):
        SBOM.answer(image_of(copy), run())
    assert written(copy) == before
    assert not list((copy.folder / "images").glob(".*"))
    (copy.folder / "build/one/root.json").unlink()
    with pytest.raises(BuildError, match="one is not finished; `doit image:one` makes it"):
        SBOM.answer(image_of(copy), run())


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packageurl", None)
    for name in ("sbom_spdx", "sbom_cyclonedx", "purl"):
        monkeypatch.delitem(sys.modules, f"quern.questions.{name}", raising=False)
        monkeypatch.delattr(quern.questions, name, raising=False)
    with pytest.raises(DriverError, match=r"^sbom:one: packageurl is not installed; `pip install .*\[sbom\]'` brings"):
        SBOM.answer(image_of(make_project(tmp_path / "project", tmp_path / "shared")), run())
    assert not (tmp_path / "project/build").exists()
