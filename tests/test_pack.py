"""quern.packing and quern.worker.pack: one tree, one sequence of bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quern import compress, packing
from quern.drivers.raw import RawDriver
from quern.errors import DriverError, of_the_machine
from quern.worker import pack, trees
from tests import trees as trees_of_tests
from tests.conftest import needs_root, tool
from tests.trees import CAPABILITY, add_special, copy_tree, make_tree, without_zstd

EPOCH = 1_700_000_000


def packed(tree: Path, target: Path, compression: str = "gzip") -> dict[str, Any]:
    return trees_of_tests.packed(tree, target, compression, EPOCH)


def plain(tree: Path) -> tuple[bytes, dict[str, Any]]:
    """The tar as the worker writes it, and its answer."""
    pieces = list[bytes]()
    answer = pack.pack(pieces.append, str(tree), EPOCH)
    return b"".join(pieces), answer


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_what_is_in_it(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root")
    answer = packed(tree, tmp_path / "x.tar.gz")
    data = (tmp_path / "x.tar.gz").read_bytes()
    plain = gzip.decompress(data)
    assert answer["digest"] == sha256(data)
    assert answer["size"] == len(data)
    assert answer["diff_id"] == sha256(plain)
    assert answer["tar_size"] == len(plain)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        members = archive.getmembers()
    assert answer["files"] == len(members)
    # tarfile drops the slash of `./`
    names = [member.name for member in members]
    assert names[0] == "."
    assert "./socket" not in names
    assert "./" + os.fsdecode(b"\xff\xfe") in names
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members} == {(0, 0, "", "")}
    assert {member.mtime for member in members} == {EPOCH}
    by_name = {member.name: member for member in members}
    assert by_name["./usr/bin/tool"].islnk()
    assert by_name["./usr/bin/tool"].linkname == "./usr/bin/alias"
    assert by_name["./" + "l" * 150].linkname == "t" * 150
    assert by_name["./fifo"].isfifo()


@needs_root
@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_tar_gives_the_tree_back(tmp_path: Path, compression: str) -> None:
    """GNU tar, not ours, reads it: devices, owners and capabilities included."""
    tree = make_tree(tmp_path / "root")
    add_special(tree)
    packed(tree, tmp_path / "x.tar", compression)
    (tmp_path / "out").mkdir()
    flags = ["--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*"]
    program = {"gzip": "--gzip", "zstd": "--zstd"}[compression]
    tool("zstd", "zstd")
    ran = subprocess.run(
        ["tar", program, "-xf", str(tmp_path / "x.tar"), "-C", str(tmp_path / "out"), *flags],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    assert ran.stderr in ("", "tar: Ignoring unknown extended header keyword 'hdrcharset'\n" * ran.stderr.count("\n"))
    assert os.getxattr(tmp_path / "out/usr/lib/two", "security.capability") == CAPABILITY
    assert trees.digest(str(tmp_path / "out")) == trees.digest(str(tree))


def test_same_bytes_whatever_is_not_content(tmp_path: Path) -> None:
    """Time, place, umask, mode of the root folder, order of creation, number of cores, hard links from outside."""
    tree = make_tree(tmp_path / "root")
    first = packed(tree, tmp_path / "1")
    umask = os.umask(0o077)
    cores = os.sched_getaffinity(0)
    try:
        copy_tree(tree, tmp_path / "other place")
        trees.clone(str(tree), str(tmp_path / "clone"), [])
        os.utime(tmp_path / "other place/usr", (0, 0))
        (tmp_path / "other place").chmod(0o700)
        os.sched_setaffinity(0, {min(cores)})
        assert packed(tmp_path / "other place", tmp_path / "2") == first
        assert packed(tmp_path / "clone", tmp_path / "3") == first
    finally:
        os.umask(umask)
        os.sched_setaffinity(0, cores)


@needs_root
def test_same_bytes_by_an_ordinary_user(tmp_path: Path, as_nobody: Callable[[Path, str], str]) -> None:
    tmp_path.chmod(0o777)
    code = (
        "import hashlib\n"
        "tests.trees.make_tree(pathlib.Path('theirs'))\n"
        "digest = hashlib.sha256()\n"
        f"answer = quern.worker.pack.pack(digest.update, 'theirs', {EPOCH})\n"
        "print(json.dumps([digest.hexdigest(), answer]))\n"
    )
    theirs = json.loads(as_nobody(tmp_path, code))
    ours = make_tree(tmp_path / "ours")
    (ours / "usr/bin/tool").chmod(0o4755)  # what nobody himself can read
    tar, answer = plain(ours)
    assert [hashlib.sha256(tar).hexdigest(), answer] == theirs


def test_same_bytes_by_every_python(tmp_path: Path) -> None:
    """The worker runs in the builder's Python, with any locale."""
    tree = make_tree(tmp_path / "root")
    worker = Path(pack.__file__).parent
    tar, answer = plain(tree)
    question = json.dumps({"root": str(tree), "epoch": EPOCH}).encode()
    for locale in ("C", "C.UTF-8", "POSIX"):
        command = [sys.executable, "-I", str(worker), "pack"]
        ran = subprocess.run(command, input=question, env={"LC_ALL": locale}, capture_output=True, check=True)
        assert ran.stdout == tar
        assert json.loads(ran.stderr) == answer


def test_a_worker_error_is_ours(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="epoch -1: expected seconds since 1970"):
        trees_of_tests.packed(tmp_path, tmp_path / "x", "gzip", -1)
    with pytest.raises(DriverError, match="absent: No such file or directory"):
        packed(tmp_path / "absent", tmp_path / "y")


class Passing(RawDriver):
    """A driver that hands on what its `pass_on` makes of each piece."""

    def stream(self, verb: str, sink: Callable[[bytes], object], **params: object) -> dict[str, Any]:
        return super().stream(verb, lambda piece: sink(self.pass_on(piece)), **params)

    def pass_on(self, piece: bytes) -> bytes:
        return piece[:-1]


def test_what_is_lost_on_the_way_is_noticed(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "root")
    with pytest.raises(DriverError, match=r"worker pack: \d+ of \d+ bytes of .*/root arrived"):
        packing.pack(Passing(), tree, tmp_path / "x", "gzip", EPOCH)


def children() -> set[str]:
    """The processes that this one has; a daemon of other tests may be among them."""
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    """One message; what it has written is no archive, and nothing of it stays running."""
    before = children()

    class Killing(Passing):
        def pass_on(self, piece: bytes) -> bytes:
            for number in children() - before:
                os.kill(int(number), signal.SIGKILL)
            return piece

    tree = make_tree(tmp_path / "root")
    with (tree / "large").open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(DriverError, match="worker pack: ended by SIGKILL, which is not ours"):
        packing.pack(Killing(), tree, tmp_path / "x", "gzip", EPOCH)
    with pytest.raises(EOFError):
        gzip.decompress((tmp_path / "x").read_bytes())


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """And the worker, which would write on into a pipe, is ended."""
    tree = make_tree(tmp_path / "root")
    (tree / "large").write_bytes(os.urandom(20 << 20))
    before = children()
    limit, rest = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, rest))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            packed(tree, tmp_path / "x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, rest))
        signal.signal(signal.SIGXFSZ, former)
    assert str(of_the_machine(caught.value)) == f"{tmp_path / 'x'}: File too large"
    assert children() <= before


def test_zstd_that_the_key_names_packs(tmp_path: Path) -> None:
    """The same bytes however the data comes in pieces."""
    module = trees_of_tests.ZSTD
    assert compress.identity("zstd") == f"zstd {module.__name__} libzstd-{module.zstd_version} level 12"
    tree = make_tree(tmp_path / "root")
    answer = packed(tree, tmp_path / "1", "zstd")
    assert answer["diff_id"] == packed(tree, tmp_path / "3")["diff_id"]
    tar = plain(tree)[0]
    for size in (1000, 1 << 20, 1 << 30):
        pieces = list[bytes]()
        with compress.compressor("zstd", pieces.append) as stream:
            for start in range(0, len(tar), size):
                stream.write(tar[start : start + size])
        assert sha256(b"".join(pieces)) == answer["digest"]


def test_no_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    without_zstd(monkeypatch)
    with pytest.raises(DriverError, match=r"cannot pack or unpack zstd: `pip install backports\.zstd`"):
        compress.identity("zstd")


def test_target_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FileExistsError):
        packed(tmp_path / "root", tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=3 * 4096), max_size=8), st.integers(1, 3))
def test_gzip_of_anything(pieces: list[bytes], factor: int) -> None:
    """Whatever the pieces, around the block size too: the standard library reads them back."""
    blob = b"".join(pieces) * (factor * 40)
    out: list[bytes] = []
    with compress.compressor("gzip", out.append) as stream:
        for start in range(0, len(blob), 100_000):
            stream.write(blob[start : start + 100_000])
    assert gzip.decompress(b"".join(out)) == blob


@pytest.mark.parametrize("size", [0, 1, compress.BLOCK - 1, compress.BLOCK, compress.BLOCK + 1, 3 * compress.BLOCK])
def test_gzip_at_block_borders(size: int) -> None:
    blob = os.urandom(1024) * (size // 1024) + bytes(size % 1024)
    out: list[bytes] = []
    with compress.compressor("gzip", out.append) as stream:
        stream.write(blob)
    assert gzip.decompress(b"".join(out)) == blob


NAMES = st.binary(min_size=1, max_size=200).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@settings(deadline=None, max_examples=50)
@given(names=st.dictionaries(NAMES, NAMES, max_size=5))
def test_any_name_and_link_target(tmp_path_factory: pytest.TempPathFactory, names: dict[bytes, bytes]) -> None:
    base = tmp_path_factory.mktemp("names")
    top = os.fsencode(base / "root")
    os.mkdir(top)
    for name, target in names.items():
        os.symlink(target, os.path.join(top, name))
    packed(base / "root", base / "x.tar.gz")
    with tarfile.open(base / "x.tar.gz", encoding="utf-8", errors="surrogateescape") as archive:
        found = {
            member.name.encode("utf-8", "surrogateescape")[2:]: member.linkname.encode("utf-8", "surrogateescape")
            for member in archive.getmembers()[1:]
        }
    assert found == names
    shutil.rmtree(base)
