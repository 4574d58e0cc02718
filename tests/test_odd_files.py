"""Repositories and profiles in which something is no file: never a wait without end, never a traceback."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from quern.errors import QuernError
from quern.portage.keys import distfile_digests, file_digest
from quern.portage.setup import Setup
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from quern.steps.resolution import resolve
from tests.projects import image_of, overlay_image, run, source_build, write
from tests.test_emerging import ALL, TREE, ebuild

LONGEST = 60  # seconds; a pipe would have us wait for ever
MOST = 4 << 30  # bytes of memory


@pytest.fixture(autouse=True)
def impatience() -> Iterator[None]:
    """An end to waiting for what never comes, and to keeping what never ends."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not done after {LONGEST} seconds")

    former = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MOST, limit[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limit)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    folder = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(folder)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def lab(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The file of an image, in whose repository `make` has made what is at `name`."""
    tree = write(folder / "tree", TREE | {"lab/leaf/leaf-1.ebuild": ebuild("inherit one", slot="0/1")})
    write(tree, {"eclass/one.eclass": ""})
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    return write(folder, {"lab.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n"}) / "lab.conf"


def plan(file: Path) -> list[str]:
    """The packages of the image, as its packages step resolves them."""
    build = source_build(image_of(file, file.parent / "work"))
    return [package.cpv for package in resolve(build, ["@profile"]).plan.packages]


@pytest.mark.emerge
@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("lab/leaf/leaf-5.ebuild", Path.mkdir, "Is a directory"),
        ("lab/leaf/leaf-5.ebuild", pipe, "expected a file, got a pipe"),
        ("lab/leaf/leaf-5.ebuild", unix_socket, "expected a file, got a socket"),
        ("lab/leaf/leaf-1.ebuild", endless, "expected a file, got a device"),
        ("metadata/md5-cache/lab/leaf-1", pipe, "expected a file, got a pipe"),
        ("metadata/layout.conf", Path.mkdir, "expected a file, got a folder"),
        ("profiles/repo_name", pipe, "expected a file, got a pipe"),
        ("profiles/categories", pipe, "expected a file, got a pipe"),
        ("profiles/image/package.mask", pipe, "expected a file, got a pipe"),
        ("profiles/image/make.defaults", pipe, "expected a file, got a pipe"),
        ("profiles/image/packages", endless, "expected a file, got a device"),
        ("profiles/image/eapi", Path.mkdir, "expected a file, got a folder"),
        ("metadata/quern-tools", pipe, "expected a file, got a pipe"),
        ("profiles/image/package.mask", dangling, "a link to nowhere, which is not there"),
        ("profiles/image/package.use/10-gone", dangling, "a link to nowhere, which is not there"),
        ("profiles/image/use.mask", dangling, "a link to nowhere, which is not there"),
        ("profiles/image/profile.bashrc", dangling, "a link to nowhere, which is not there"),
    ],
)
def test_what_would_be_waited_for_is_named(tmp_path: Path, name: str, make: Callable[[Path], None], said: str) -> None:
    file = lab(tmp_path, name, make)
    with pytest.raises(QuernError) as caught:
        plan(file)
    assert str(caught.value).endswith(f"{tmp_path}/tree/{name}: {said}")


@pytest.mark.emerge
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("lab/leaf/leaf-5.ebuild", dangling),
        ("lab/leaf/leaf-5.ebuild", loop),
        ("metadata/md5-cache/lab/leaf-1", Path.mkdir),
        ("profiles/package.mask", pipe),  # which Portage does not read
    ],
)
def test_what_portage_passes_over(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    assert sorted(plan(lab(tmp_path, name, make))) == ALL


@pytest.mark.emerge
@pytest.mark.parametrize("make", [Path.mkdir, pipe])
def test_an_eclass_that_is_none_before_the_master_s(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """bash would take the master's, Portage reads the first."""
    file = lab(tmp_path, "lab/leaf/files/some", Path.mkdir)
    other = {"profiles/repo_name": "other\n", "profiles/categories": "lab\n"}
    other["metadata/layout.conf"] = "masters = lab\nthin-manifests = true\n"
    write(tmp_path / "other", {**other, "lab/leaf/leaf-2.ebuild": ebuild("inherit one", slot="0/1")})
    (tmp_path / "other/eclass").mkdir()
    make(tmp_path / "other/eclass/one.eclass")
    file.write_text(file.read_text().replace("./tree", "./tree, ./other"))
    with pytest.raises(QuernError, match=r"/other/eclass/one\.eclass"):
        plan(file)


@pytest.mark.emerge
def test_a_name_of_two_lines(tmp_path: Path) -> None:
    """Portage takes it for a version, and no lock, ledger or log could."""
    file = lab(tmp_path, "lab/leaf/leaf-5\n.ebuild", lambda path: write(path.parent, {path.name: ebuild(slot="0/1")}))
    with pytest.raises(QuernError, match=r"leaf-5\\n\.ebuild': expected PACKAGE-VERSION\.ebuild in one line of text"):
        plan(file)


@pytest.mark.emerge
@pytest.mark.parametrize(
    "name", ["lab/leaf/leaf-5\nx-6.ebuild", "lab/leaf/leaf-5\x1b[31m.ebuild", "lab/leaf/leaf-5\udcff.ebuild"]
)
def test_names_that_are_no_version(tmp_path: Path, name: str) -> None:
    file = lab(tmp_path, name, lambda path: write(path.parent, {path.name: ebuild()}))
    assert sorted(plan(file)) == ALL


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("packages", b"lab/top\n\0\n", "packages:2: expected text, got a NUL byte"),
        ("packages", b"lab/t\xe9p\n", "packages:1: 'lab/t\ufffdp' is no package atom"),
        ("parent", b"../im\0age\n", "parent:1: expected text, got a NUL byte"),
        ("package.use", b"lab/top a\0b\n", "package.use:1: expected text, got a NUL byte"),
        ("make.defaults", b'CFLAGS="a\0b"\n', "make.defaults: expected text, got a NUL byte"),
        ("use.force/10-more", b"a\0b\n", "use.force/10-more:1: expected text, got a NUL byte"),
        ("eapi", b"8\0\n", r"eapi: expected an EAPI from 0 to 9, got '8\\x00'"),
    ],
)
def test_profile_files_that_are_no_text(tmp_path: Path, name: str, text: bytes, said: str) -> None:
    file = lab(tmp_path, "lab/leaf/files/some", Path.mkdir)
    path = tmp_path / "tree/profiles/image" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text)
    with pytest.raises(QuernError, match=f"{tmp_path}/tree/profiles/image/{said}"):
        Setup(image_of(file, tmp_path / "work"), "").stack()


@pytest.mark.parametrize("make", [pipe, endless, Path.mkdir])
def test_what_keys_are_made_of(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "Manifest")
    for read in (file_digest, lambda path: distfile_digests(path, ["a"])):
        with pytest.raises(QuernError, match=f"{tmp_path}/Manifest: expected a file, got a"):
            read(tmp_path / "Manifest")


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("package.use/pipe", pipe, "expected a file, got a pipe"),
        ("use.mask/pipe", pipe, "expected a file, got a pipe"),
        ("env/pipe", pipe, "cannot be copied: .*named pipe"),
        ("use.mask/loop", loop, "a link to loop, which is not there"),
        ("make.defaults", pipe, "expected a file, got a pipe"),
        ("package.use/gone", dangling, "a link to nowhere, which is not there"),
        ("packages.build", dangling, "a link to nowhere, which is not there"),
    ],
)
def test_a_project_s_own_profile(tmp_path: Path, name: str, make: Callable[[Path], None], said: str) -> None:
    write(tmp_path / "tree", TREE)
    own = {"quern.conf": "[portage]\nrepositories = ./tree\n", "packages": "lab/top\n", "parent": "lab:image\n"}
    write(tmp_path / "profiles/one", own | {"../repo_name": "mine\n"})
    path = tmp_path / "profiles/one" / name
    path.parent.mkdir(exist_ok=True)
    make(path)
    step = steps_of(overlay_image(tmp_path / "profiles/one", tmp_path / "build/one"))[0]
    with pytest.raises(QuernError, match=f"{path}: {said}"):
        run_step(step, run())
