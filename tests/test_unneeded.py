"""What no image of a project needs, and above all what is not that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.fetching.folder import RECORD
from quern.portage.package_index import read_index
from quern.portage.store import Store
from quern.project import Image, project_images
from quern.questions import unneeded
from quern.questions.needs import Needs
from quern.questions.unneeded import GONE, LEFT, PACKAGE, SOURCE, Unneeded, gone, is_own, left_over, sources
from quern.steps import receipt as receipts
from quern.steps.receipt import Receipt
from tests.packages import build
from tests.projects import write

KEY, OLD, OLDER = "a" * 64, "b" * 64, "c" * 64
ZLIB = "sys-libs/zlib-1.3.1"
NOBODY = Needs(set(), set(), set())


@pytest.fixture
def images(tmp_path: Path) -> list[Image]:
    """The images of a project, none of them built."""
    write(tmp_path, {"profiles/one/quern.conf": "", "profiles/two/quern.conf": ""})
    return project_images(tmp_path, {})


def worked(work: Path) -> Path:
    """Make `work` look like the work folder of an image."""
    write(work, {"lock": "process 1\n", "portage/etc/make.conf": "", "portage.digest": "sha256:1\n"})
    write(work, {"logs/packages.log": "", "host/home/x": "", "checkpoints/1.json": ""})
    write(work, {".packages.new/view/x": "", ".packages.json.new": ""})
    receipts.write(work / "portage.json", Receipt("key", {}, "sha256:1", "boot", {}))
    return work


def names(found: list[Unneeded], folder: Path) -> dict[str, str]:
    return {os.path.relpath(each.name, folder): each.why for each in found}


def store_with(folder: Path, *keys: str) -> Store:
    """A store with the same package under several keys."""
    store = Store(folder / "build/binpkgs")
    for number, key in enumerate(keys):
        view = folder / f"view{number}"
        build(view, ZLIB, build_id=number + 1, content={ZLIB: b"%d" % number})
        (package,) = view.glob("*/*/*.tar")
        (stanza,) = read_index(view)
        with package.open("rb") as file:
            store.add(key, file, stanza)
    return store


def test_what_builds_left(images: list[Image], tmp_path: Path) -> None:
    work = worked(images[0].work)
    write(work, {".root.old/image/x": "", "checkpoints/x": "", ".resolve.new/x": "", "verify/x": ""})
    write(work, {".mine.new": "", "notes": ""})
    made = {"/images/one.oci.tar": [1, 1]}
    receipts.write(work / ".root.json.old", Receipt("key", {}, "sha256:1", "boot", {}, made))
    found = names(list(left_over(images[0])), work)
    assert found == dict.fromkeys(
        [".packages.new", ".packages.json.new", ".root.old", ".resolve.new", "verify", "checkpoints"], LEFT
    )  # not the former receipt: it alone knows what was made outside


def test_images_that_are_gone(images: list[Image], tmp_path: Path) -> None:
    worked(images[0].work)
    old = worked(tmp_path / "build/old")
    write(old, {"notes": "mine"})
    write(tmp_path / "build", {"other/lock": "", "other/portage.json": "{}", "lib/x.py": "", "file": ""})
    (tmp_path / "build/link").symlink_to(old)
    store_with(tmp_path, KEY)
    (found,) = gone(images)
    assert (found.name, found.why, found.within) == (str(old), GONE, old)
    assert {path.name for path in old.iterdir()} - {path.name for path in found.paths} == {"notes"}
    assert found.paths[0] == old / "portage.json"
    assert found.paths[-1] == old / "lock"
    found.paths[0].unlink()  # as after a kill: what is left is found again
    assert list(gone(images)) == [found._replace(paths=found.paths[1:])]


def test_images_of_others_are_not_gone(tmp_path: Path) -> None:
    """A folder that several projects work in, and one that is a link."""
    write(tmp_path / "mine", {"profiles/one/quern.conf": f"[build]\nworkdir = {tmp_path}/shared\n"})
    images = project_images(tmp_path / "mine", {})
    worked(tmp_path / "shared/one")
    worked(tmp_path / "shared/two")
    assert list(gone(images)) == []
    worked(tmp_path / "mine/build/one")  # where it was before
    assert [each.name for each in gone(images)] == [f"{tmp_path}/mine/build/one"]


def test_whose_a_folder_is(images: list[Image], tmp_path: Path) -> None:
    for name in ("build/distfiles", "build/x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "build/link").symlink_to(tmp_path / "build/x")
    assert is_own(tmp_path / "build/distfiles", images[0])
    assert not is_own(tmp_path / "build/absent", images[0])
    assert not is_own(tmp_path / "build/link", images[0])
    assert not is_own(tmp_path.parent, images[0])
    assert not is_own(tmp_path / "build/../../x", images[0])


def test_what_is_behind_a_link_may_serve_others(images: list[Image], tmp_path: Path) -> None:
    base = tmp_path / "project"
    (tmp_path / "shared/binpkgs").mkdir(parents=True)
    base.mkdir()
    (base / "build").symlink_to("../shared")
    (tmp_path / "alias").symlink_to("project")
    (base / "own").mkdir()
    image = images[0]._replace(base=tmp_path / "alias")
    assert not is_own(tmp_path / "alias/build/binpkgs", image)
    assert is_own(tmp_path / "alias/own", image)


def test_packages(tmp_path: Path) -> None:
    store = store_with(tmp_path, KEY, OLD, OLDER)
    write(store.folder, {"sys-libs/zlib-1.3.1-1.gpkg.tar": "of Portage's own", ".lock": ""})
    needs = Needs({f"{ZLIB}-{KEY[:32]}"}, set(), set())
    found = list(unneeded.packages(store.folder, [NOBODY, needs]))
    assert names(found, store.folder) == {f"{ZLIB}-{key[:32]}.{{gpkg.tar,index}}": PACKAGE for key in (OLD, OLDER)}
    assert [path.suffix for path in found[0].paths] == [".index", ".tar"]  # a kill between them leaves no package


def test_packages_in_a_view_are_kept_whatever_their_keys(tmp_path: Path) -> None:
    """Another quern has made the keys of other things."""
    store = store_with(tmp_path, KEY, OLD)
    stanza = store.stanza(ZLIB, KEY)
    assert stanza
    needs = NOBODY._replace(built={(ZLIB, stanza["SHA1"])})
    found = list(unneeded.packages(store.folder, [needs]))
    assert names(found, store.folder) == {f"{ZLIB}-{OLD[:32]}.{{gpkg.tar,index}}": PACKAGE}


def test_packages_that_are_not_whole(tmp_path: Path) -> None:
    """A store that was killed while it grew."""
    store = store_with(tmp_path, KEY, OLD)
    store.record(store.path(ZLIB, OLD)).unlink()
    for key in (KEY, OLDER):
        store.path(ZLIB, key).with_name(f".{store.path(ZLIB, key).name}.new").touch()
    needs = Needs({f"{ZLIB}-{KEY[:32]}"}, set(), set())
    assert names(list(unneeded.packages(store.folder, [needs])), store.folder) == {
        f"sys-libs/.zlib-1.3.1-{KEY[:32]}.gpkg.tar.new": LEFT,
        f"sys-libs/.zlib-1.3.1-{OLDER[:32]}.gpkg.tar.new": LEFT,
        f"sys-libs/zlib-1.3.1-{OLD[:32]}.gpkg.tar": PACKAGE,
    }


def fetched(folder: Path, *names: str) -> None:
    """Write down that quern has fetched the sources with these names."""
    states = [(folder / name).stat() for name in names]
    rows = [f"{state.st_ino} {state.st_mtime_ns} {name}\n" for state, name in zip(states, names, strict=True)]
    (folder / RECORD).write_text("".join(rows))


def test_sources(tmp_path: Path) -> None:
    """What quern has fetched; not what a user has put there, of a package that nobody may fetch for him."""
    part = ".__download__"
    names_ = ("needed.tar", "old.tar", "mine.tar", f"cut.tar{part}", f"needed.tar{part}", "replaced.tar", "link.tar")
    write(tmp_path, {**dict.fromkeys(names_, "x"), "folder.tar/x": ""})
    fetched(tmp_path, "old.tar", "needed.tar", "link.tar", "folder.tar", "replaced.tar")
    for name in ("link.tar", "replaced.tar"):
        (tmp_path / name).rename(tmp_path / f"was-{name}")
    (tmp_path / "link.tar").symlink_to("was-link.tar")
    write(tmp_path, {"replaced.tar": "the user's own"})
    found = list(sources(tmp_path, [NOBODY, NOBODY._replace(sources={"needed.tar"})]))
    assert names(found, tmp_path) == {"old.tar": SOURCE, f"cut.tar{part}": SOURCE}


def test_sources_without_a_record_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"old.tar": ""})
    assert list(sources(tmp_path, [NOBODY])) == []


def test_an_empty_project_needs_everything(images: list[Image]) -> None:
    assert list(gone(images)) == []
    assert list(left_over(images[0])) == []
