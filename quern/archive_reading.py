"""The inventory of an archive: an OCI layout or docker's format in a tar, with its layers applied, or a root's tarball.

Compression is whatever Python's tarfile knows, and zstd. Nothing is unpacked.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from quern.errors import BuildError, DriverError, display
from quern.inventory import File, Inventory

ZSTD = b"\x28\xb5\x2f\xfd"
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"  # OCI image-spec, layer.md
KINDS = {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "pipe",
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
}


def read_archive(path: Path) -> Inventory:
    """What is in the archive at `path`. Raises BuildError if it is none, DriverError where nothing unpacks zstd."""
    try:
        with path.open("rb") as stream:
            with _opened(stream) as archive:
                if image := _image(archive, str(path)):
                    return image
            stream.seek(0)
            files: dict[str, File] = {}
            with _opened(stream) as archive:
                _apply(archive, files)
            return Inventory(str(path), [], None, None, sorted(files.values()))
    except OSError as error:
        raise BuildError(f"{display(path)}: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BuildError(
            f"{display(path)}: expected an image's archive or a root's tarball, and cannot read it: {error}"
        ) from None


def _image(archive: tarfile.TarFile, name: str) -> Inventory | None:
    """The image in the archive, None if it holds none."""
    members = {posixpath.normpath(member.name): member for member in archive}
    if "manifest.json" not in members and "oci-layout" not in members:
        return None

    def blob(path: str) -> bytes:
        stream = archive.extractfile(members[posixpath.normpath(path)])
        return stream.read() if stream else b""

    reference, config, layers = _of_docker(blob) if "manifest.json" in members else _of_layout(blob)
    settings = blob(config)
    files: dict[str, File] = {}
    for path in layers:
        stream = archive.extractfile(members[posixpath.normpath(path)])
        assert stream is not None
        with _opened(stream) as layer:
            _apply(layer, files)
    ids = [f"sha256:{hashlib.sha256(settings).hexdigest()}"]
    return Inventory(reference or name, ids, json.loads(settings), None, sorted(files.values()))


def _of_docker(blob: Callable[[str], bytes]) -> tuple[str, str, list[str]]:
    """Name, configuration and layers of the first image in docker's format."""
    image = json.loads(blob("manifest.json"))[0]
    return (image.get("RepoTags") or [""])[0], image["Config"], image["Layers"]


def _of_layout(blob: Callable[[str], bytes]) -> tuple[str, str, list[str]]:
    """The same of an OCI layout; an index in the index is followed by its first image."""
    entry: Any = {}
    found = json.loads(blob("index.json"))
    while "manifests" in found:
        entry = next(each for each in found["manifests"] if "artifactType" not in each)
        found = json.loads(blob(_path(entry)))
    name = entry.get("annotations", {}).get("org.opencontainers.image.ref.name", "")
    return name, _path(found["config"]), [_path(layer) for layer in found["layers"]]


def _path(descriptor: Mapping[str, Any]) -> str:
    return f"blobs/{descriptor['digest'].replace(':', '/')}"


@contextmanager
def _opened(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """The tar in `stream`, whatever it is compressed with."""
    magic = stream.read(len(ZSTD))
    stream.seek(0)
    if magic != ZSTD:
        with tarfile.open(fileobj=stream, mode="r:*") as archive:
            yield archive
        return
    try:
        import zstandard
    except ImportError:
        raise DriverError("zstandard is not installed; `pip install 'quern-builder[zstd]'` reads zstd") from None
    plain = zstandard.ZstdDecompressor().stream_reader(stream, closefd=False)
    with plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        yield archive


def _apply(layer: tarfile.TarFile, files: dict[str, File]) -> None:
    """Put a layer upon the files of those below it."""
    below = set(files)
    for member in layer:
        path = posixpath.normpath(f"/{member.name}").lstrip("/")
        folder, _, name = path.rpartition("/")
        if name == OPAQUE:
            _remove(files, below, f"{folder}/" if folder else "")
        elif name.startswith(WHITEOUT):
            hidden = posixpath.join(folder, name.removeprefix(WHITEOUT))
            files.pop(hidden, None)
            _remove(files, below, f"{hidden}/")
        else:
            files[path] = _file(layer, member, path, files)


def _remove(files: dict[str, File], below: set[str], prefix: str) -> None:
    for path in below:
        if path.startswith(prefix):
            files.pop(path, None)


def _file(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str, files: Mapping[str, File]) -> File:
    size, content = 0, ""
    kind = KINDS.get(member.type, "file")
    if kind == "link":
        content = member.linkname
    elif kind == "device":
        content = f"{member.devmajor}:{member.devminor}"
    elif member.islnk():
        first = files[posixpath.normpath(f"/{member.linkname}").lstrip("/")]
        return first._replace(path=path, size=0)
    elif kind == "file":
        size, content = member.size, _digest(layer, member)
    return File(path, kind, f"{member.mode:o}", f"{member.uid}:{member.gid}", size, content)


def _digest(layer: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    digest = hashlib.sha256()
    stream = layer.extractfile(member)
    assert stream is not None
    while piece := stream.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()
