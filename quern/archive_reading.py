"""The inventory of an archive: an OCI layout or docker's format in a tar, with its layers applied, or a root's tarball.

Compression is gzip, bzip2, xz or zstd, of the archive and of its layers. Nothing is unpacked, and nothing that is in
the archive is trusted: see archive_stream.py for what is read of it.
"""

from __future__ import annotations

import hashlib
import posixpath
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar, cast

from quern import untrusted_json
from quern.archive_layers import Tree
from quern.archive_stream import Budget, Refused, Stream, members, naming, oddities, reason
from quern.errors import BuildError, display
from quern.inventory import Inventory
from quern.worker.special import instead

EXPECTED = "expected an image's archive or a root's tarball"
LAYERS = 512  # at most; docker's limit is 127
LEVELS = 4  # of indexes in an index, at most
LINKS = 8  # from one member to another, at most: what `docker save` wrote before version 25 has one
UNKNOWN = "unknown"  # the platform of what is no image (buildx's attestations)

Kind = TypeVar("Kind", dict[str, Any], list[Any], str)
KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a text"}


class _Image(NamedTuple):
    """What an archive says of an image: its name, and the members that are its configuration and its layers."""

    name: str
    config: str
    layers: list[str]


def read_archive(path: Path, architecture: str | None = None) -> Inventory:
    """What is in the archive at `path`: of images for several architectures the one for `architecture`, else the first.

    Raises BuildError, which names the member, for what is none, is damaged or takes too much to be read; DriverError
    where nothing unpacks zstd.
    """
    if found := instead(path):
        raise BuildError(f"{display(path)}: {EXPECTED}, found {found}")
    try:
        with path.open("rb") as file:
            return _inventory(file, str(path), architecture)
    except Refused as error:
        raise BuildError(f"{display(path)}: {error}") from None
    except oddities() as error:
        expected = "" if isinstance(error, OSError) and error.errno else f"{EXPECTED}, and cannot read it: "
        raise BuildError(f"{display(path)}: {expected}{reason(error)}") from None


def _inventory(file: IO[bytes], name: str, architecture: str | None) -> Inventory:
    budget = Budget()
    archive = _Archive(Stream(file, budget))
    tree = Tree(budget)
    if "manifest.json" in archive.found:
        image = _of_docker(archive)
    elif "oci-layout" in archive.found:
        image = _of_layout(archive, architecture)
    else:
        tree.apply(Stream(file, budget))
        return Inventory(name, [], None, None, tree.files())
    text = archive.text(image.config)
    settings = _settings(_json(text, image.config), image.config)
    if len(image.layers) > LAYERS:
        raise Refused(f"{image.config}: expected at most {LAYERS} layers, found {len(image.layers)}")
    for path in image.layers:
        with naming(path):
            tree.apply(Stream(archive.open(path), budget))
    return Inventory(image.name or name, [f"sha256:{hashlib.sha256(text).hexdigest()}"], settings, None, tree.files())


class _Archive:
    """The members of a tar, by name."""

    def __init__(self, stream: Stream) -> None:
        self.found: dict[str, tarfile.TarInfo] = {}
        for tar, member in members(stream):
            self._tar = tar
            if member.isreg() or member.islnk() or member.issym():
                self.found[posixpath.normpath(member.name)] = member

    def open(self, path: str) -> IO[bytes]:
        """The member at `path`, read where it is. Raises Refused."""
        name = posixpath.normpath(path)
        for _ in range(LINKS):
            member = self.found.get(name)
            if member is None:
                raise Refused("expected it in the archive; it is not there")
            if member.isreg():
                return cast("IO[bytes]", self._tar.extractfile(member))
            folder = posixpath.dirname(name) if member.issym() else ""
            name = posixpath.normpath(posixpath.join(folder, member.linkname))
        raise Refused("expected a file, found links to links")

    def text(self, path: str) -> bytes:
        """All that is in a small member."""
        with naming(path):
            return self.open(path).read(untrusted_json.SIZE + 1)


def _of_docker(archive: _Archive) -> _Image:
    """The first image in docker's format."""
    where = "manifest.json"
    images = _expect(list, _json(archive.text(where), where), where)
    if not images:
        raise Refused(f"{where}: expected an image, found none")
    image = _expect(dict, images[0], where)
    names = _texts(image.get("RepoTags") or [], where)
    config = _expect(str, image.get("Config"), where)
    return _Image(names[0] if names else "", config, _texts(image.get("Layers"), where))


def _of_layout(archive: _Archive, architecture: str | None) -> _Image:
    """The same of an OCI layout (image-spec, image-index.md); an index in the index is followed."""
    where, name = "index.json", ""
    for _ in range(LEVELS):
        found = _expect(dict, _json(archive.text(where), where), where)
        if "manifests" not in found:
            config = _expect(dict, found.get("config"), where)
            layers = [_expect(dict, layer, where) for layer in _expect(list, found.get("layers"), where)]
            return _Image(name, _blob(config, where), [_blob(layer, where) for layer in layers])
        entry = _chosen(_expect(list, found["manifests"], where), where, architecture)
        noted = _expect(dict, entry.get("annotations") or {}, where)
        name = _expect(str, noted.get("org.opencontainers.image.ref.name", name), where)
        where = _blob(entry, where)
    raise Refused(f"{where}: expected an image, found indexes in {LEVELS} levels")


def _chosen(entries: list[Any], where: str, architecture: str | None) -> dict[str, Any]:
    """The image of an index that is for `architecture`, else the first."""
    images = []
    for entry in entries:
        platform = _expect(dict, _expect(dict, entry, where).get("platform") or {}, where)
        if "artifactType" not in entry and platform.get("os") != UNKNOWN:
            images.append((platform.get("architecture"), entry))
    if not images:
        raise Refused(f"{where}: expected an image, found none")
    fitting = [entry for built_for, entry in images if built_for == architecture]
    return cast("dict[str, Any]", fitting[0] if architecture and fitting else images[0][1])


def _settings(value: object, where: str) -> Mapping[str, Any]:
    """An image's configuration (image-spec, config.md), as far as it is looked at one by one."""
    settings = _expect(dict, value, where)
    said = _expect(dict, settings.get("config") or {}, where)
    _texts(said.get("Env") or [], where)
    return settings


def _blob(descriptor: Mapping[str, Any], where: str) -> str:
    return f"blobs/{_expect(str, descriptor.get('digest'), where).replace(':', '/')}"


def _texts(value: object, where: str) -> list[str]:
    return [_expect(str, each, where) for each in _expect(list, value, where)]


def _json(text: bytes, where: str) -> Any:  # noqa: ANN401
    try:
        return untrusted_json.parse(text)
    except ValueError as error:
        raise Refused(f"{where}: {error}") from None


def _expect(kind: type[Kind], value: object, where: str) -> Kind:
    """`value`, which must be of this kind."""
    if not isinstance(value, kind):
        found = KINDS.get(type(value), "nothing" if value is None else f"`{str(value)[:40]}`")
        raise Refused(f"{where}: expected {KINDS[kind]}, found {found}")
    return value
