"""Files that builds leave: read as files, or refused by name and at once; whatever they leave, the next run begins."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.errors import of_the_machine
from quern.fetching.folder import RECORD, Partial
from quern.fetching.manifest import Expected
from quern.portage import package_index, refusals, store
from quern.portage.package_index import read_index
from quern.portage.store import Store, harvest
from quern.steps.capsule import _text
from quern.worker import host, regular, vdb
from quern.worker.guards import NOTES
from tests.conftest import needs_root
from tests.left import LEFT, ODD, chain, within
from tests.packages import gpkg
from tests.projects import DATA, write
from tests.test_confine import AS_USER, USER, Stranger, doit, namespaces, stranger, token
from tests.test_emerging import ebuild

__all__ = ["namespaces", "stranger", "token"]  # fixtures

CPV, KEY = "lab/one-1", "0" * 64


@pytest.fixture(params=list(LEFT))
def left(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Leaves something at a path; gives what a message about it says."""

    def leave(path: Path) -> str:
        LEFT[request.param](path)
        return str(request.param)

    return leave


READERS: dict[str, Callable[[Path], object]] = {
    package_index.INDEX: lambda path: read_index(path.parent),
    "shell.json": regular.text,
    "CONTENTS": lambda path: vdb.owners(str(path.parents[5])),
    "USE": lambda path: vdb.described(str(path.parents[5]), ["USE"]),
    NOTES: lambda path: refusals.read(path.parent),
}


@pytest.mark.parametrize("name", list(READERS))
def test_what_is_no_file_is_refused(tmp_path: Path, left: Callable[[Path], str], name: str) -> None:
    path = tmp_path / "var/db/pkg/lab/one-1" / name
    path.parent.mkdir(parents=True)
    said = left(path)
    with within(30), pytest.raises(OSError, match=f"expected a file.*{said}") as raised:
        READERS[name](path)
    assert raised.value.filename == str(path)
    assert str(of_the_machine(raised.value)).startswith(f"{path}: expected a file")


def test_what_is_no_account_or_log_or_key(tmp_path: Path, left: Callable[[Path], str]) -> None:
    """Where a file need not be there, nothing else counts either."""
    path = tmp_path / "file"
    said = left(path)
    with within(30):
        assert set(_text(str(path))) <= {"\0", "�"}
    if said != "no more than":
        assert _text(str(path)) == ""


def test_the_end_of_a_long_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.truncate(40 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe reason\n")
    with within(30):
        assert _text(str(path)).endswith("\nthe reason\n")


@pytest.mark.parametrize(
    "path", ["lab/one-1.gpkg.tar", "../secret", "{folder}/secret", "lab/../../secret", "out/secret"]
)
def test_packages_that_are_elsewhere(tmp_path: Path, path: str) -> None:
    """An index may name any path, and its folders may be links; the packages are below it."""
    folder, packages = tmp_path / "view", Store(tmp_path / "store")
    package = gpkg(CPV, [])
    (folder / "lab").mkdir(parents=True)
    for file in (tmp_path / "secret", folder / "lab/one-1.gpkg.tar"):
        file.write_bytes(package)
    (folder / "out").symlink_to(tmp_path)
    described = store.digests(tmp_path / "secret")
    package_index.write_index(folder, [{"CPV": CPV, "PATH": path.format(folder=tmp_path), **described}])
    expected = [CPV] if path.startswith("lab/one") else []
    assert harvest(folder, packages, {CPV: KEY}, [CPV]) == expected


def test_packages_that_are_none(tmp_path: Path, left: Callable[[Path], str]) -> None:
    folder, packages = tmp_path / "view", Store(tmp_path / "store")
    (folder / "lab").mkdir(parents=True)
    left(folder / "lab/one")
    package_index.write_index(folder, [{"CPV": CPV, "PATH": "lab/one", "SIZE": str(40 << 30)}])
    with within(30):
        assert harvest(folder, packages, {CPV: KEY}, [CPV]) == []


@pytest.mark.parametrize("kind", list(ODD))
def test_a_record_of_sources_that_is_none(tmp_path: Path, kind: str) -> None:
    """What is fetched then has no record, and is nobody's to remove."""
    ODD[kind](tmp_path / RECORD)
    with within(30), Partial(tmp_path, "x", Expected(0, {}), lambda: None) as partial:
        assert partial.finish() is None
    assert (tmp_path / "x").is_file()


@pytest.mark.parametrize("kind", [*ODD, "a device"])
def test_a_device_is_not_even_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    if kind == "a device":
        if os.geteuid() != 0:
            pytest.skip("only root can make devices")
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(10, 255))  # nothing is there: to open it fails
    else:
        ODD[kind](path)
    for call in (regular.opened, regular.content, lambda path: regular.append(path, "x")):
        with within(30), pytest.raises(FileExistsError, match=f"expected a file, got {kind}"):
            call(path)


def test_the_host_side_after_a_build_that_spoilt_it(tmp_path: Path) -> None:
    """Its folders are there again: what is in their place is removed, links and pipes too, and what is below a link is
    not touched."""
    outside = write(tmp_path / "outside", {"db/precious": ""})
    for name in ("home", "var", "binpkgs/.key", "needs-root"):
        for kind in ODD:
            root = tmp_path / f"host {name.replace('/', ' ')} {kind}"
            (root / name).parent.mkdir(parents=True)
            ODD[kind](root / name)
            if name == "var" and kind == "a link":
                (root / name).unlink()
                (root / name).symlink_to(outside)
            with within(30):
                for folder in host.FOLDERS:
                    host._make_folder(root, folder)
            assert all((root / folder).is_dir() for folder in host.FOLDERS)
            assert not (root / "var").is_symlink()
    assert (outside / "db/precious").exists()


@pytest.mark.parametrize("spoil", ["chain", "closed", "a pipe"])
def test_the_metadata_cache_begins_anew(tmp_path: Path, spoil: str) -> None:
    cache = write(tmp_path, {"cache/a/b-1": "text"}) / "cache"
    if spoil == "chain":
        chain(cache / "a")
    elif spoil == "closed":
        (cache / "closed").mkdir(mode=0)
    else:
        os.mkfifo(cache / "pipe")
    with within(30):
        host._settle_cache(str(cache))
    assert cache.is_dir()
    assert spoil == "closed" or list(cache.iterdir()) == []


LEAVE = '{python} -I -S "${{FILESDIR}}/leaver.py" "${{PORTAGE_OVERRIDE_EPREFIX%/host}}" "${{ROOT%/image*}}"; die'


@needs_root
@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_a_build_that_leaves_traps(stranger: Stranger, for_everyone: str) -> None:
    """It ends, with one message; the next one does its work, and `doit clean` leaves nothing."""
    folder, project = stranger.folder / "project/tree/lab/stranger", stranger.folder / "project"
    environment = {"PATH": f"{Path(for_everyone).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": ""}

    def run(task: str) -> tuple[int, str]:
        argv = ("timeout", "-k", "5", "100", *AS_USER)
        ran = doit(stranger, *argv, python=for_everyone, task=task.split(), QUERN_BUILD_CONFINE="on", **environment)
        return ran.returncode, ran.stdout

    files = {"stranger-1.ebuild": ebuild(body=LEAVE.format(python=for_everyone))}
    write(folder, {**files, "files/leaver.py": (DATA / "leaver.py").read_text()})
    subprocess.run(["chown", "-R", f"{USER}:{USER}", stranger.folder], check=True)
    status, said = run("packages:one")
    assert status not in (0, 124, 137), said
    assert "expected a file, got a pipe" in said
    assert "Traceback" not in said
    write(folder, {"stranger-1.ebuild": ebuild()})
    status, said = run("packages:one")
    assert status == 0, said
    status, said = run("clean packages:one portage:one")
    assert status == 0, said
    assert not (project / "build/one").exists()
