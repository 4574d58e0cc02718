"""quern.worker.gpkg: what is in a binary package, and what may not be."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.worker import WorkerError
from quern.worker.gpkg import XATTR, opened
from quern.worker.members import unpack
from tests.conftest import needs_root, tool
from tests.packages import tar
from tests.trees import CAPABILITY, without_zstd

Member = tuple[tarfile.TarInfo, bytes]
METADATA = {"CATEGORY": b"lab\n", "PF": b"one-1\n"}


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **more: object) -> Member:
    """One member of a tar file, of ours unless `more` says whose."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(content), 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.uid, info.gid = os.geteuid(), os.getegid()
    for field, value in more.items():
        setattr(info, field, value)
    return info, content


def zstd(content: bytes) -> bytes:
    return subprocess.run([tool("zstd", "zstd"), "-q", "-c"], input=content, stdout=subprocess.PIPE, check=True).stdout


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd,
}  # fmt: skip


def gpkg(path: Path, *members: Member, suffix: str = ".gz") -> str:
    """Write a gpkg whose image has these members."""
    compress = COMPRESSORS.get(suffix, bytes)
    metadata = [member(f"metadata/{name}", content) for name, content in METADATA.items()]
    parts = {"gpkg-1": b"", f"metadata.tar{suffix}": compress(tar(metadata)), f"metadata.tar{suffix}.sig": b"sig"}
    parts[f"image.tar{suffix}"] = compress(tar(members))
    path.write_bytes(tar(member(f"one-1/{name}", content) for name, content in parts.items()))
    return str(path)


def xpak(path: Path, *members: Member) -> str:
    """Write an xpak whose image has these members."""
    names = data = b""
    for name, content in METADATA.items():
        names += struct.pack(">L", len(name)) + name.encode() + struct.pack(">LL", len(data), len(content))
        data += content
    segment = b"XPAKPACK" + struct.pack(">LL", len(names), len(data)) + names + data + b"XPAKSTOP"
    path.write_bytes(bz2.compress(tar(members)) + segment + struct.pack(">L", len(segment)) + b"STOP")
    return str(path)


def unpacked(path: str, target: Path) -> Path:
    target.mkdir()
    with opened(path) as package, tempfile.TemporaryDirectory() as spare:
        unpack(package, os.fsencode(target), os.fsencode(spare))
    return target


CONTENT = (
    member("image", kind=tarfile.DIRTYPE),
    member("image/usr", kind=tarfile.DIRTYPE, mode=0o555),
    member("image/usr/file", b"content", mode=0o4750, mtime=981158400),
    member("image/usr/again", kind=tarfile.LNKTYPE, linkname="image/usr/file"),
    member("image/usr/link", kind=tarfile.SYMTYPE, linkname="/etc/passwd"),
    member("image/opt/deep/ünïcode", b"x"),  # without its folders
)


@pytest.mark.parametrize("suffix", COMPRESSORS)
def test_a_package_is_unpacked(tmp_path: Path, suffix: str) -> None:
    path = gpkg(tmp_path / "one.gpkg.tar", *CONTENT, suffix=suffix)
    with opened(path) as package:
        assert package.metadata == METADATA
    top = unpacked(path, tmp_path / "image")
    status = (top / "usr/file").stat()
    assert (top / "usr/file").read_bytes() == b"content"
    assert (oct(status.st_mode), status.st_mtime, status.st_nlink) == ("0o104750", 981158400, 2)
    assert oct((top / "usr").stat().st_mode) == "0o40555"
    assert os.readlink(top / "usr/link") == "/etc/passwd"
    assert (top / "opt/deep/ünïcode").read_text() == "x"


@pytest.mark.parametrize("by", ["module", "command"])
def test_zstd_by_each_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """In several frames too, and damage is noticed."""
    if by == "command":
        without_zstd(monkeypatch)
    content = [*CONTENT, member("image/more", os.urandom(100_000))]
    path = Path(gpkg(tmp_path / "one.gpkg.tar", *content, suffix=".zst"))
    assert (unpacked(str(path), tmp_path / "image") / "opt/deep/ünïcode").read_text() == "x"
    data = bytearray(path.read_bytes())
    start = data.index(b"\x28\xb5\x2f\xfd", data.index(b"image.tar.zst"))
    data[start + 50_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(WorkerError, match="not a whole binary package"):
        unpacked(str(path), tmp_path / "damaged")


def test_an_xpak_is_unpacked(tmp_path: Path) -> None:
    path = xpak(tmp_path / "one.xpak", member("./usr", kind=tarfile.DIRTYPE), member("./usr/file", b"content"))
    with opened(path) as package:
        assert package.metadata == METADATA
    assert (unpacked(path, tmp_path / "image") / "usr/file").read_text() == "content"


@needs_root
def test_owners_are_numbers_and_capabilities_stay(tmp_path: Path) -> None:
    """The machine's accounts decide nothing: it may have a user of the name that the packager had."""
    headers = {f"{XATTR}security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
    file = member("image/file", b"x", uid=70, gid=3_000_000, uname="root", gname="root", pax_headers=headers)
    file[0].pax_headers = headers
    top = unpacked(gpkg(tmp_path / "one.gpkg.tar", file), tmp_path / "image")
    status = (top / "file").stat()
    assert (status.st_uid, status.st_gid) == (70, 3_000_000)
    assert os.getxattr(top / "file", "security.capability") == CAPABILITY


HOSTILE = {
    "leads out of it": [member("image/../../escaped", b"x")],
    "is not below image/": [member("escaped", b"x")],
    "is no folder": [member("image/a", kind=tarfile.SYMTYPE, linkname="/tmp"), member("image/a/escaped", b"x")],
    "twice": [member("image/a", kind=tarfile.SYMTYPE, linkname="/tmp/escaped"), member("image/a", b"x")],
    "which is not in it": [member("image/a", kind=tarfile.LNKTYPE, linkname="image/../../../etc/passwd")],
    "'image/b', which is not in it": [member("image/a", kind=tarfile.LNKTYPE, linkname="image/b")],
    "a device or a pipe": [member("image/null", kind=tarfile.CHRTYPE, devmajor=1, devminor=3)],
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_package_is_refused(tmp_path: Path, reason: str) -> None:
    path = gpkg(tmp_path / "one.gpkg.tar", *HOSTILE[reason])
    match = "leads out of it|which is not in it" if reason == "which is not in it" else reason
    with pytest.raises(WorkerError, match=match):
        unpacked(path, tmp_path / "image")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["image", "one.gpkg.tar"]


@pytest.mark.parametrize("size", [0, 100, 1000, 3000])
def test_a_package_that_is_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    path = Path(gpkg(tmp_path / "one.gpkg.tar", *CONTENT))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WorkerError, match=r"one\.gpkg\.tar is not a whole binary package: "):
        unpacked(str(path), tmp_path / "image")


def test_what_nobody_can_read_is_refused(tmp_path: Path) -> None:
    path = gpkg(tmp_path / "one.gpkg.tar", *CONTENT, suffix=".lz")
    with pytest.raises(WorkerError, match="compressed as lz, which quern cannot read"), opened(path):
        pass


@pytest.mark.parametrize("headers", [{"mtime": "inf"}, {"mtime": "1e300"}, {"uid": "99999999999999999999"}], ids=str)
@needs_root
def test_times_and_owners_that_no_file_can_have(tmp_path: Path, headers: dict[str, str]) -> None:
    path = gpkg(tmp_path / "one.gpkg.tar", member("image/file", b"x", pax_headers=headers))
    with pytest.raises(WorkerError, match="is not a whole binary package"):
        unpacked(path, tmp_path / "image")


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_a_compressed_part_that_is_damaged(tmp_path: Path, suffix: str) -> None:
    path = Path(gpkg(tmp_path / "one.gpkg.tar", member("image/file", os.urandom(5000)), suffix=suffix))
    content = bytearray(path.read_bytes())
    middle = content.rindex(b"image.tar") + 512 + 2500
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(WorkerError, match="is not a whole binary package"):
        unpacked(str(path), tmp_path / "image")
