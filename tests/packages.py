"""Small binary packages, and an index of them, as emerge writes them: no two builds are alike."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from quern.portage.package_index import read_index, write_index
from quern.portage.store import digests

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object) -> Member:
    """One member of a tar file, root's unless `more` says whose."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(content), 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in more.items():
        setattr(info, field, value)
    return info, content


def tar(members: Iterable[Member]) -> bytes:
    """A tar file with these members."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def gpkg(cpv: str, members: Iterable[Member], build_id: int = 1, **metadata: bytes) -> bytes:
    """A package, built at a time and in a folder that depend on `build_id`; `metadata` are files more.

    Of those `environment` is environment.bz2.
    """
    category, pf = cpv.split("/")
    now = 1_700_000_000 + build_id
    files = {
        "SLOT": b"0\n", "PF": f"{pf}\n".encode(), "CATEGORY": f"{category}\n".encode(), "BUILD_ID": b"%d" % build_id,
        "BUILD_TIME": b"%d\n" % now, "SIZE": b"%d\n" % (build_id * 4096), "FEATURES": b"user%d\n" % build_id,
        "REPO_REVISIONS": b'{"lab": "%d"}\n' % build_id,
        "environment": bz2.compress(b'declare -x P="%s"\ndeclare -x MAKEOPTS="-j%d"\n' % (pf.encode(), build_id)),
        **metadata,
    }  # fmt: skip
    files["environment.bz2"] = files.pop("environment")
    described = tar(member(f"metadata/{name}", content, mtime=now) for name, content in files.items())
    image = tar([member("image", kind=tarfile.DIRTYPE, mtime=now), *members])
    parts = {"gpkg-1": b"", "metadata.tar.gz": gzip.compress(described), "image.tar.gz": gzip.compress(image)}
    return tar(member(f"{pf}-{build_id}/{name}", content, mtime=now) for name, content in parts.items())


def build(folder: Path, *cpvs: str, build_id: int = 1, content: Mapping[str, bytes] | None = None) -> None:
    """Put packages of one file into the view at `folder` as emerge does, beside those in its index.

    What the file holds is in `content` by cpv, else the cpv.
    """
    stanzas = read_index(folder)
    for cpv in cpvs:
        category, name = cpv.split("/")
        path = f"{category}/{name.split('-')[0]}/{name}-{build_id}.gpkg.tar"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        held = (content or {}).get(cpv, cpv.encode())
        file = member(f"image/{name}", held, mtime=1_700_000_000 + build_id)
        (folder / path).write_bytes(gpkg(cpv, [file], build_id))
        stanzas.append({"CPV": cpv, "BUILD_ID": str(build_id), "PATH": path, **digests(folder / path)})
    write_index(folder, stanzas)
