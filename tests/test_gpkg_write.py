"""quern.worker.gpkg_write: the same content is the same file, which Portage reads, and nothing of it is lost."""

from __future__ import annotations

import bz2
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.portage.emerge import PACKAGE_EPOCH
from quern.portage.store import Store
from quern.worker import WorkerError, gpkg, gpkg_write, metadata
from quern.worker.gpkg import XATTR, opened
from quern.worker.members import unpack
from tests.conftest import needs_root
from tests.packages import Member, member
from tests.packages import gpkg as built
from tests.test_signed import portage_environment
from tests.trees import CAPABILITY

CPV, KEY = "lab/one-1", "0" * 64
ATTRIBUTES = {f"{XATTR}security.capability": CAPABILITY.decode("utf-8", "surrogateescape"), f"{XATTR}user.x": "ü"}
CONTENT = [
    member("image/usr", kind=tarfile.DIRTYPE, mode=0o555),
    member("image/usr/b", b"content" * 1000, mode=0o4711, uid=70, gid=3_000_000, pax_headers=ATTRIBUTES),
    member("image/usr/a", kind=tarfile.LNKTYPE, linkname="image/usr/b"),
    member("image/usr/link", kind=tarfile.SYMTYPE, linkname="../" + "t" * 150),
    member("image/usr-more", kind=tarfile.DIRTYPE),
    member("image/usr/" + "l" * 150, b"x"),
    member("image/usr/späce\nand \udcff", b"y"),
    member("image/pipe", kind=tarfile.FIFOTYPE),
]
READ = """\
import json, portage, sys
from portage.gpkg import gpkg
found = gpkg(portage.settings, gpkg_file=sys.argv[1])
found._verify_binpkg()
print(json.dumps({name: value.decode("latin-1") for name, value in found.get_metadata().items()}))
found.decompress(sys.argv[2])
"""


def written(package: bytes) -> bytes:
    """The same package, written by us."""
    target = io.BytesIO()
    with tempfile.TemporaryFile() as spool, gpkg.read(io.BytesIO(package), "x") as found:
        gpkg_write.write(found, target, spool, PACKAGE_EPOCH)
    return target.getvalue()


def shuffled(seed: int) -> Iterable[Member]:
    """The content in another order, with other times and names of owners, and one of the files first of two names."""
    random.seed(seed)
    first, second = random.sample(["image/usr/a", "image/usr/b"], 2)
    members = [(info, content) for info, content in CONTENT if info.name not in ("image/usr/a", "image/usr/b")]
    random.shuffle(members)
    file = next(each for each in CONTENT if each[0].name == "image/usr/b")
    again = member(second, kind=tarfile.LNKTYPE, linkname=first)
    for info, content in [(file[0].replace(name=first), file[1]), *members, again]:
        yield info.replace(mtime=seed * 1000.5, uname=f"user{seed}", gname=f"group{seed}", deep=False), content


@needs_root
def test_the_same_content_is_the_same_file() -> None:
    packages = [built(CPV, shuffled(seed), build_id=seed) for seed in (1, 2, 3)]
    assert len(set(packages)) == 3
    assert len({hashlib.sha256(written(package)).digest() for package in packages}) == 1


@needs_root
def test_what_is_written_is_not_changed_again() -> None:
    once = written(built(CPV, CONTENT))
    assert written(once) == once


@needs_root
def test_nothing_is_lost(tmp_path: Path) -> None:
    """Owners, modes, links, names and attributes; folders that the package does not name are made."""
    content = [each for each in CONTENT if each[0].name not in ("image/pipe", "image/usr-more")]
    package = written(built(CPV, [*content, member("image/opt/deep/file", b"z")]))
    (tmp_path / "x").write_bytes(package)
    for name in ("image", "spare"):
        (tmp_path / name).mkdir()
    with opened(str(tmp_path / "x")) as found:
        unpack(found, os.fsencode(tmp_path / "image"), os.fsencode(tmp_path / "spare"))
    top = tmp_path / "image"
    status = (top / "usr/a").stat()
    assert (status.st_uid, status.st_gid, oct(status.st_mode)) == (70, 3_000_000, "0o104711")
    assert (status.st_nlink, status.st_mtime) == (2, PACKAGE_EPOCH)
    assert (top / "usr/a").read_bytes() == b"content" * 1000
    assert os.getxattr(top / "usr/b", "security.capability") == CAPABILITY
    assert os.getxattr(top / "usr/b", "user.x") == "ü".encode()
    assert os.readlink(top / "usr/link") == "../" + "t" * 150
    assert oct((top / "usr").stat().st_mode) == "0o40555"
    assert oct((top / "opt/deep").stat().st_mode) == "0o40755"
    assert b"sp\xc3\xa4ce\nand \xff" in os.listdir(os.fsencode(top / "usr"))


def test_metadata_says_nothing_of_the_build() -> None:
    described = {"NEEDED": b"/b x\n/a y\n", "RDEPEND": b"lab/two\n"}
    with gpkg.read(io.BytesIO(written(built(CPV, [member("image/file", b"12345")], 7, **described))), "x") as found:
        files = found.metadata
    assert bz2.decompress(files.pop("environment.bz2")) == b'declare -x P="one-1"\n'
    assert {name: content.decode() for name, content in files.items()} == {
        "BUILD_ID": "1\n", "BUILD_TIME": "315532800\n", "CATEGORY": "lab\n", "NEEDED": "/a y\n/b x\n", "PF": "one-1\n",
        "RDEPEND": "lab/two\n", "SIZE": "5\n", "SLOT": "0\n",
    }  # fmt: skip


ENVIRONMENT = b"""\
declare -x A="one
declare -x HOME=\\"no declaration\\"
"
declare -a ARRAY=([0]="FEATURES" [1]="x)y")
declare -x FEATURES="several
lines \\" of it"
declare HOMEPAGE
declare -- f
declare -x MAKEOPTS=$'-j2\\n\\''
declare -x CFLAGS="-O2"
src_install ()
{
declare -x MAKEOPTS="of a function"
}
"""


def test_an_environment_keeps_what_it_is_for() -> None:
    """Values over several lines, and of arrays; what looks like a variable in a value or a function is none."""
    dropped = b'declare -x FEATURES="several\nlines \\" of it"\n', b"declare -x MAKEOPTS=$'-j2\\n\\''\n"
    expected = ENVIRONMENT
    for line in dropped:
        expected = expected.replace(line, b"")
    assert metadata.environment(ENVIRONMENT) == expected


@pytest.mark.parametrize("begin", [b'A="', b"A=$'", b"A=(", b"A=([0]=", b'A=([0]="'])
@pytest.mark.parametrize("value", [b"a", b"\\a", b"[0]=", b'[0]="" ', b"'("])
def test_an_environment_is_read_in_time(begin: bytes, value: bytes) -> None:
    """Whatever a stranger has put there: what has no end is no variable."""
    text = b"declare -x " + begin + value * 500_000
    started = time.process_time()
    assert metadata.environment(text) == text
    assert time.process_time() - started < 5


@pytest.mark.parametrize("name", ["/etc/../../x", "image/../x", "elsewhere/x"])
def test_what_leads_out_is_refused(name: str) -> None:
    with pytest.raises(WorkerError, match="not a whole binary package"):
        written(built(CPV, [member(name, b"x")]))


def test_a_file_that_is_no_folder_has_nothing_below() -> None:
    with pytest.raises(WorkerError, match="'usr' is no folder"):
        written(
            built(CPV, [member("image/usr/file", b"x"), member("image/usr", kind=tarfile.SYMTYPE, linkname="/etc")])
        )


def test_what_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = bytes(10 << 20)
    monkeypatch.setattr(gpkg_write, "LARGEST", len(zeros) - 1)
    with pytest.raises(WorkerError, match="more than"):
        written(built(CPV, [member("image/x", zeros)]))
    monkeypatch.setattr(gpkg, "METADATA", len(zeros) - 1)
    with pytest.raises(WorkerError, match="its metadata has more than"):
        written(built(CPV, [], USE=zeros))
    monkeypatch.setattr(metadata, "LARGEST", len(zeros) - 1)
    with pytest.raises(WorkerError, match="its environment is cut off, or has more than"):
        written(built(CPV, [], environment=bz2.compress(zeros)))


def test_a_package_that_is_cut_off_is_refused() -> None:
    package = bytearray(built(CPV, [member("image/x", os.urandom(4096))]))
    start = package.index(b"\x1f\x8b", package.index(b"image.tar.gz"))
    package[start + 3000] ^= 1
    with pytest.raises(WorkerError, match="not a whole binary package"):
        written(bytes(package))


@needs_root
def test_by_an_ordinary_user(tmp_path: Path, as_nobody: Callable[[Path, str], str]) -> None:
    """His files stand for root's; what they cannot is refused by name."""
    tmp_path.chmod(0o777)
    files = {
        "own": [member("image/x", b"x", uid=65534, gid=65534)],
        "root": [member("image/x", b"x")],
        "owner": [member("image/x", b"x", uid=70)],
        "capability": [member("image/x", b"x", pax_headers=ATTRIBUTES)],
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(built(CPV, content))
    code = (
        "import io\n"
        "from quern.worker import WorkerError, gpkg\n"
        "for name in ('own', 'root', 'owner', 'capability'):\n"
        "    target = io.BytesIO()\n"
        "    try:\n"
        "        with gpkg.opened(name) as found:\n"
        f"            quern.worker.gpkg_write.write(found, target, io.BytesIO(), {PACKAGE_EPOCH}, by_root=False)\n"
        "    except WorkerError as error:\n"
        "        print(error)\n"
        "    pathlib.Path(f'{name}.new').write_bytes(target.getvalue())\n"
        "os.mkdir('out')\n"
        "try:\n"
        "    with gpkg.opened('capability') as found:\n"
        "        quern.worker.members.unpack(found, b'out', b'out')\n"
        "except WorkerError as error:\n"
        "    print(error)\n"
    )
    refused = f"{gpkg_write.REFUSED}: 'image/x'"
    installing = "capabilities of 'x' take root, or build.driver = docker, to be installed"
    assert as_nobody(tmp_path, code).splitlines() == [
        f"{refused} belongs to 70:0", f"{refused} has capabilities", installing,
    ]  # fmt: skip
    ours = written((tmp_path / "root").read_bytes())
    assert (tmp_path / "own.new").read_bytes() == (tmp_path / "root.new").read_bytes() == ours


@needs_root
@pytest.mark.parametrize("compressor", ["gzip", "zstd"])
def test_portage_reads_it(tmp_path: Path, compressor: str) -> None:
    """Manifest and content, whatever it compresses with itself."""
    content = [each for each in CONTENT if each[0].name not in ("image/pipe", "image/usr/späce\nand \udcff")]
    (tmp_path / "one-1.gpkg.tar").write_bytes(written(built(CPV, content)))
    (tmp_path / "out").mkdir()
    argv = [sys.executable, "-c", READ, str(tmp_path / "one-1.gpkg.tar"), str(tmp_path / "out")]
    environment = {**portage_environment(tmp_path), "BINPKG_COMPRESS": compressor}
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    with opened(str(tmp_path / "one-1.gpkg.tar")) as found:
        assert json.loads(ran.stdout) == {name: value.decode("latin-1") for name, value in found.metadata.items()}
    assert (tmp_path / "out/usr/a").read_bytes() == b"content" * 1000
    assert (tmp_path / "out/usr/a").samefile(tmp_path / "out/usr/b")


def test_a_full_disk_leaves_no_package(tmp_path: Path) -> None:
    """And is named with the store's folder."""
    store = Store(tmp_path / "store")
    store.folder.mkdir()
    (tmp_path / "built").write_bytes(built(CPV, [member("image/x", os.urandom(3 << 20))]))
    code = (
        "import resource, signal, sys; from pathlib import Path; from quern.portage.store import Store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20,) * 2)\n"
        "try:\n"
        "    Store(Path(sys.argv[1])).add('0' * 64, open(sys.argv[2], 'rb'), {'CPV': 'lab/one-1'})\n"
        "except OSError as error:\n"
        "    print(error.filename, error.strerror)\n"
    )
    argv = [sys.executable, "-W", "ignore", "-c", code, str(store.folder), str(tmp_path / "built")]
    ran = subprocess.run(argv, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    pattern = rf"{re.escape(str(store.folder))}/lab/\.one-1-0{{32}}\.gpkg\.tar\.\d+\.new File too large\n"
    assert re.fullmatch(pattern, ran.stdout), ran.stderr
    assert store.packages() == {}
    assert store.stanza(CPV, KEY) is None


def test_a_package_that_the_user_cannot_give_is_not_taken(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "built").write_bytes(built(CPV, [member("image/x", b"x", pax_headers=ATTRIBUTES)]))
    with (tmp_path / "built").open("rb") as package, pytest.raises(BuildError, match=f"{CPV}: .*has capabilities"):
        store.add(KEY, package, {"CPV": CPV}, by_root=False)
    assert store.packages() == {}
