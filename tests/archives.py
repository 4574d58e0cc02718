"""Archives of images, made member by member, as nobody's tool would make them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", kind: bytes = b"", link: str = "", xattrs: Mapping[str, bytes] = {}) -> Member:
    """One member; a folder if its name ends in a slash, a symbolic link if it has a `link`, else a file."""
    info = tarfile.TarInfo(name)
    info.type = kind or (tarfile.DIRTYPE if name.endswith("/") else tarfile.SYMTYPE if link else tarfile.REGTYPE)
    info.size, info.linkname = len(data), link
    info.pax_headers = {f"SCHILY.xattr.{key}": text.decode("utf-8", "surrogateescape") for key, text in xattrs.items()}
    return info, data


def tar(members: Iterable[Member]) -> bytes:
    """A tar of these, in this order."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def files(texts: Mapping[str, bytes]) -> bytes:
    """A tar of files by name."""
    return tar(member(name, text) for name, text in texts.items())


def docker(target: Path, *layers: bytes, config: object = {}, manifest: object = None) -> Path:
    """An archive as `docker save` writes it; `manifest` in place of what it would say."""
    blobs = {f"{number}/layer.tar": layer for number, layer in enumerate(layers)}
    said = [{"Config": "config.json", "RepoTags": None, "Layers": [*blobs]}] if manifest is None else manifest
    target.write_bytes(files({**blobs, "config.json": text(config), "manifest.json": text(said)}))
    return target


def layout(target: Path, index: object, *blobs: bytes) -> Path:
    """An OCI layout with these blobs."""
    names = {f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}": blob for blob in blobs}
    target.write_bytes(files({"oci-layout": b"{}", "index.json": text(index), **names}))
    return target


def descriptor(blob: bytes, **more: object) -> dict[str, object]:
    """What names a blob of an OCI layout."""
    return {"digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob), **more}


def text(value: object) -> bytes:
    """JSON, or the bytes that stand for it."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()
