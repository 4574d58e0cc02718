"""quern.worker.pack: one tree, one sequence of bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quern.worker import WorkerError, compress, pack, trees
from tests.conftest import needs_root, tool
from tests.trees import CAPABILITY, add_special, copy_tree, make_tree

EPOCH = 1_700_000_000


def packed(tree: Path, target: Path, compression: str = "gzip") -> dict[str, Any]:
    return pack.pack(str(tree), str(target), compression, EPOCH)


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
        "import json, pathlib; from quern.worker import pack; from tests.trees import make_tree\n"
        "top = make_tree(pathlib.Path('theirs'))\n"
        f"print(json.dumps(pack.pack('theirs', 'theirs.tar.gz', 'gzip', {EPOCH})))\n"
    )
    theirs = json.loads(as_nobody(tmp_path, code))
    ours = make_tree(tmp_path / "ours")
    (ours / "usr/bin/tool").chmod(0o4755)  # what nobody himself can read
    assert packed(ours, tmp_path / "ours.tar.gz") == theirs


def test_same_bytes_by_every_python(tmp_path: Path) -> None:
    """The worker runs in the builder's Python, with any locale."""
    tree = make_tree(tmp_path / "root")
    worker = Path(pack.__file__).parent
    answers = []
    for number, locale in enumerate(["C", "C.UTF-8", "POSIX"]):
        question = {"root": str(tree), "target": str(tmp_path / str(number)), "compression": "gzip", "epoch": EPOCH}
        ran = subprocess.run(
            [sys.executable, "-I", str(worker), "pack"],
            input=json.dumps(question), env={"LC_ALL": locale}, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        answers.append(json.loads(ran.stdout))
    assert answers == [packed(tree, tmp_path / "here")] * 3


def test_a_worker_error_is_an_answer(tmp_path: Path) -> None:
    question = {"root": str(tmp_path), "target": str(tmp_path / "x"), "compression": "rar", "epoch": 0}
    ran = subprocess.run(
        [sys.executable, "-I", str(Path(pack.__file__).parent), "pack"],
        input=json.dumps(question), capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (1, "")
    assert json.loads(ran.stdout) == {"error": "compression 'rar': expected gzip or zstd"}


def test_zstd_by_module_and_by_command_hold_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool("zstd", "zstd")
    tree = make_tree(tmp_path / "root")
    by_module = packed(tree, tmp_path / "1", "zstd")
    assert compress.identity("zstd").startswith("zstd libzstd-")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    by_command = packed(tree, tmp_path / "2", "zstd")
    assert by_command["diff_id"] == by_module["diff_id"] == packed(tree, tmp_path / "3")["diff_id"]
    assert compress.identity("zstd").startswith("zstd command")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkerError, match=r"module zstandard .* or the zstd command \(Debian package zstd\)"):
        compress.identity("zstd")


def test_a_zstd_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make_tree(tmp_path / "root")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    fake = tmp_path / "bin/zstd"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nexit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    with pytest.raises(WorkerError, match="zstd stopped with status 3"):
        packed(tree, tmp_path / "x", "zstd")


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
