"""What a finished image consists of, with everything that a bill of materials says of it.

build/NAME/root/image/var/db/pkg/       the packages, from before anything was stripped
build/NAME/packages/packages.lock       their sources' digests
build/NAME/packages/provenance.json     where these are from, and what needs what to run
build/NAME/image.json, tarball.json     the image itself
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from quern import __version__
from quern.errors import BuildError
from quern.portage import lockfile, provenance
from quern.project import Image
from quern.questions.base import read_tree
from quern.steps import receipt as receipts
from quern.steps.base import Run
from quern.steps.packages import LOCK, PROVENANCE
from quern.steps.receipt import Place
from quern.worker.vdb import described

CHAIN = ("packages", "root", "strip", "tarball", "image")  # each is made of the one before


class Source(NamedTuple):
    """A distfile: its size in bytes, its URIs in SRC_URI's order, its digests by their names in a Manifest."""

    name: str
    size: int
    uris: list[str]
    digests: dict[str, str]


class Component(NamedTuple):
    """A package of the image.

    `licence` and `homepage` are Gentoo's text; `use` are its flags, those that are off with a hyphen; `needs` the cpvs
    of what it needs to run.
    """

    cpv: str
    category: str
    package: str
    version: str
    slot: str
    repository: str
    description: str
    homepage: str
    licence: str
    use: tuple[str, ...]
    sources: list[Source]
    needs: list[str]


class Bill(NamedTuple):
    """An image and its packages, by cpv.

    `config`, `manifest` and `archive` are digests (`sha256:...`), of which the first is the image id; `epoch` its time
    in seconds; `supplier` name and mail address, each empty where the configuration names none.
    """

    reference: str
    epoch: int
    config: str
    manifest: str
    archive: str
    supplier: tuple[str, str]
    components: list[Component]


def bill_of(image: Image, run: Run) -> Bill:
    """The bill of the finished build; the work folder's lock is the caller's to hold.

    Raises BuildError and DriverError.
    """
    made = receipts.of_one_build(image.work, CHAIN)
    if made is None:
        raise BuildError(f"{image.name} is not finished; `doit image:{image.name}` makes it")
    config, manifest = made["image"].info["ids"]
    return Bill(
        reference=made["image"].info["reference"],
        epoch=made["tarball"].info["epoch"],
        config=config,
        manifest=manifest,
        archive=made["image"].digest,
        supplier=_name_and_address(image.settings.dockergen.maintainer or ""),
        components=_components(image.work, run),
    )


def _name_and_address(person: str) -> tuple[str, str]:
    """The two parts of `NAME <ADDRESS>`; what is not written so is a name."""
    match = re.fullmatch(r"(.*?)\s*<([^<>]+)>", person.strip())
    return (match[1] or match[2], match[2]) if match else (person.strip(), "")


def _components(work: Path, run: Run) -> list[Component]:
    packages = Place(work, "packages").output
    lock = {each.cpv: each for each in lockfile.parse((packages / LOCK).read_text("utf-8"), str(packages / LOCK))}
    known = provenance.read(packages / PROVENANCE)
    root = str(Place(work, "root").output / "image")
    names = ["DESCRIPTION", "HOMEPAGE", "LICENSE", "SLOT", "repository"]
    return [
        Component(
            cpv=cpv,
            category=cpv.split("/")[0],
            package=lock[cpv].name.split("/")[1],
            version=lock[cpv].version,
            slot=said["SLOT"],
            repository=said["repository"],
            description=said["DESCRIPTION"],
            homepage=said["HOMEPAGE"],
            licence=said["LICENSE"],
            use=lock[cpv].use,
            sources=[_source(*each, known[cpv].sources) for each in lock[cpv].distfiles.items()],
            needs=known[cpv].needs,
        )
        for cpv, said in read_tree(run, described, root=root, names=names).items()
    ]


def _source(name: str, line: str, uris: Mapping[str, list[str]]) -> Source:
    """A distfile; `line` is what its Manifest says: size, and pairs of a digest's name and its value."""
    size, *words = line.split()
    return Source(name, int(size), uris.get(name, []), dict(zip(words[::2], words[1::2], strict=False)))


def identity(bill: Bill) -> str:
    """A UUID of all that the bill says, and of the quern that writes it down."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([__version__, bill])))
