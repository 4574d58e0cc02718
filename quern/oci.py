"""The image archive: docker-archive and OCI image layout at once, its only layer the tarball as it is.

    oci-layout  index.json                   what OCI tools read (OCI image-spec, image-layout.md)
    manifest.json                            what `docker load` read before it knew OCI layouts
    blobs/sha256/CONFIG MANIFEST LAYER       shared by both

A copy of it can have documents attached: manifests in index.json whose `subject` is that of the image (OCI image-spec
1.1, manifest.md), which what reads manifest.json never sees.

The configuration is JSON, never Dockerfile text, in which a newline in a label could change the user. Everything is
written in canonical form: the image id, which is the digest of the configuration, depends on the arguments only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from quern import __version__
from quern.errors import BuildError

Pairs = tuple[tuple[str, str], ...]
Json = dict[str, object]

LAYER_TYPES = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE, EMPTY = "application/vnd.oci.empty.v1+json", b"{}"  # the configuration of what is no image


@dataclass(frozen=True)
class Layer:
    """The compressed tarball: `digest` and `size` of the file, `diff_id` the digest of the tar inside."""

    path: Path
    digest: str
    diff_id: str
    size: int
    media_type: str


@dataclass(frozen=True)
class ImageConfig:
    """How containers of the image start; None and empty: not said. `ports` are N/PROTOCOL."""

    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    workdir: str | None = None
    user: str | None = None
    env: Pairs = ()
    labels: Pairs = ()
    stop_signal: str | None = None
    author: str | None = None
    architecture: str = "amd64"  # Go's name for it (OCI image-spec, config.md)
    variant: str | None = None  # of the architecture: v7 of arm, say


@dataclass(frozen=True)
class ArchiveInfo:
    """What was written. Engines call either of `ids` the image's id: the manifest's with a containerd store."""

    config_digest: str
    manifest_digest: str
    digest: str
    size: int

    @property
    def ids(self) -> frozenset[str]:
        """What an engine that loaded this archive may answer."""
        return frozenset((self.config_digest, self.manifest_digest))


@dataclass(frozen=True)
class Document:
    """What is attached to an image; its media type is its artifact type as well."""

    media_type: str
    data: bytes


def timestamp(epoch: int) -> str:
    """Seconds since 1970 as OCI writes a time (RFC 3339)."""
    return datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def image_labels(own: Pairs, *, name: str, tag: str, profile: str, author: str | None, epoch: int) -> Pairs:
    """The labels of an image: ours, the standard ones (OCI image-spec, annotations.md), and `own`, which win.

    `tag` and `author` may be empty: then their labels are not there.
    """
    labels = {
        "quern-version": __version__,
        "quern-profile": profile,
        "org.opencontainers.image.title": name,
        "org.opencontainers.image.created": timestamp(epoch),
        "org.opencontainers.image.version": tag,
        "org.opencontainers.image.authors": author,
    }
    return tuple(sorted({**{key: value for key, value in labels.items() if value}, **dict(own)}.items()))


def write_archive(
    target: Path, layer: Layer, config: ImageConfig, reference: str, epoch: int, annotations: Pairs = ()
) -> ArchiveInfo:
    """Write the new file `target`, and to the disk.

    `reference` is NAME:TAG, which the archive carries; `epoch`, in seconds, is the time of the image and of all in it;
    `annotations` are those of the manifest (OCI image-spec, annotations.md), which the configuration does not have.
    BuildError if the layer is not what its digest says.
    """
    settings = _encode(image_json(config, layer.diff_id, epoch))
    manifest = _encode(_manifest(layer, settings, annotations))
    small = {
        _blob(_digest(settings)): settings,
        _blob(_digest(manifest)): manifest,
        "index.json": _encode(_index(manifest, reference)),
        "manifest.json": _encode(
            [{"Config": _blob(_digest(settings)), "Layers": [_blob(layer.digest)], "RepoTags": [reference]}]
        ),
        "oci-layout": _encode({"imageLayoutVersion": "1.0.0"}),
    }
    _write_tar(target, small, layer, epoch)
    with target.open("rb") as stream:
        digest = _stream_digest(stream)
    return ArchiveInfo(_digest(settings), _digest(manifest), digest, target.stat().st_size)


def attach(target: Path, archive: Path, layer: Layer, documents: Iterable[Document], epoch: int) -> None:
    """Write the new file `target`, and to the disk: `archive`, which has this layer, with documents attached.

    `epoch` is as for `write_archive`. BuildError if the layer is not what its digest says.
    """
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isreg() and member.name != _blob(layer.digest)]
        small = {member.name: stream.read() for member in members if (stream := tar.extractfile(member))}
    index = json.loads(small["index.json"])
    (image,) = index["manifests"]
    small[_blob(_digest(EMPTY))] = EMPTY
    for document in documents:
        manifest = _encode(_artifact(document, image, epoch))
        small[_blob(_digest(document.data))] = document.data
        small[_blob(_digest(manifest))] = manifest
        index["manifests"].append({**_described(MANIFEST_TYPE, manifest), "artifactType": document.media_type})
    small["index.json"] = _encode(index)
    _write_tar(target, small, layer, epoch)


def image_json(config: ImageConfig, diff_id: str, epoch: int) -> Json:
    """The image configuration (OCI image-spec, config.md; docker reads the same)."""
    said: Json = {
        "Entrypoint": list(config.entrypoint or ()),
        "Cmd": list(config.command or ()),
        "ExposedPorts": {port: {} for port in config.ports},
        "Volumes": {volume: {} for volume in config.volumes},
        "WorkingDir": config.workdir,
        "User": config.user,
        "Env": [f"{name}={value}" for name, value in config.env],
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
    }
    image: Json = {
        "architecture": config.architecture,
        "os": "linux",
        "created": timestamp(epoch),
        "config": {key: value for key, value in said.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": timestamp(epoch), "created_by": "quern"}],
    }
    if config.variant:
        image["variant"] = config.variant
    if config.author:
        image["author"] = config.author
    return image


def _manifest(layer: Layer, settings: bytes, annotations: Pairs) -> Json:
    manifest: Json = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _described(CONFIG_TYPE, settings),
        "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}],
    }
    return {**manifest, "annotations": dict(annotations)} if annotations else manifest


def _artifact(document: Document, image: Json, epoch: int) -> Json:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": document.media_type,
        "config": _described(EMPTY_TYPE, EMPTY),
        "layers": [_described(document.media_type, document.data)],
        "subject": {name: image[name] for name in ("mediaType", "digest", "size")},
        "annotations": {"org.opencontainers.image.created": timestamp(epoch)},
    }


def _described(media_type: str, data: bytes) -> Json:
    """A descriptor (OCI image-spec, descriptor.md)."""
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _index(manifest: bytes, reference: str) -> Json:
    annotations = {
        # the whole name for containerd, which takes the other for a tag alone
        "io.containerd.image.name": qualified(reference),
        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
    }
    entry = {**_described(MANIFEST_TYPE, manifest), "annotations": annotations}
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}


def qualified(reference: str) -> str:
    """The name as docker completes it: without a registry's host it is Docker Hub's, without a user `library`'s."""
    first, slash, _ = reference.partition("/")
    if not slash:
        return f"docker.io/library/{reference}"
    return reference if "." in first or ":" in first or first == "localhost" else f"docker.io/{reference}"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _stream_digest(stream: IO[bytes]) -> str:
    sha256 = hashlib.sha256()
    while data := stream.read(1 << 20):
        sha256.update(data)
    return f"sha256:{sha256.hexdigest()}"


def _encode(value: object) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise BuildError(f"[dockergen]: {error.object[error.start : error.end]!r} in a value is not UTF-8") from None


def _write_tar(target: Path, small: dict[str, bytes], layer: Layer, epoch: int) -> None:
    with target.open("xb") as stream, tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in ("blobs", "blobs/sha256"):
            archive.addfile(_member(folder, tarfile.DIRTYPE, 0, epoch))
        for name in sorted([*small, _blob(layer.digest)]):
            if name in small:
                archive.addfile(_member(name, tarfile.REGTYPE, len(small[name]), epoch), io.BytesIO(small[name]))
            else:
                _add_layer(archive, name, layer, epoch)
        archive.close()
        stream.flush()
        os.fsync(stream.fileno())


def _add_layer(archive: tarfile.TarFile, name: str, layer: Layer, epoch: int) -> None:
    with layer.path.open("rb") as stream:
        if _stream_digest(stream) != layer.digest:
            raise BuildError(f"{layer.path} is not what was packed (its digest is not {layer.digest}); remove it")
        stream.seek(0)
        archive.addfile(_member(name, tarfile.REGTYPE, layer.size, epoch), stream)


def _member(name: str, kind: bytes, size: int, epoch: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, epoch
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info
