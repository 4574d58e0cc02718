"""quern.worker.contents: where files go, and what is in their way."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.worker import WorkerError
from quern.worker.contents import Contents
from quern.worker.mask import InstallMask, install_mask
from quern.worker.unpacked import unpacked
from tests.conftest import needs_root
from tests.projects import write

MD5 = "d41d8cd98f00b204e9800998ecf8427e"  # of nothing


class Root:
    """A root to be filled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "root"
        self.path.mkdir()
        (folder / "spare").mkdir()
        self.contents = Contents(str(self.path), str(folder / "spare"), ["*.py[co]"], sfperms=True)

    def package(self, name: str, make: Callable[[Path], object]) -> Path:
        source = self.folder / name
        source.mkdir()
        make(source)
        return source

    def place(self, name: str, make: Callable[[Path], object], mask: InstallMask | None = None) -> list[str]:
        """Merge a package that `make` makes; the lines of its CONTENTS."""
        source = self.package(name, make)
        items = unpacked(os.fsencode(source))
        return self.contents.place(items, f"lab/{name}-1", mask or InstallMask(), 7).decode().splitlines()

    def files(self, **files: str) -> None:
        write(self.path, files)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def files(*names: str) -> Callable[[Path], object]:
    """Makes empty files; a name that ends in / is a folder, one with -> in it a link."""

    def make(source: Path) -> None:
        for name in names:
            path, _, target = name.partition("->")
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            if target:
                (source / path).symlink_to(target)
            elif name.endswith("/"):
                (source / path).mkdir(parents=True, exist_ok=True)
            else:
                (source / path).touch()

    return make


def test_contents(root: Root) -> None:
    lines = root.place("one", files("usr/bin/my tool", "usr/bin/alias->my tool", "var/empty/", "var/.keep_lab_one-0"))
    assert lines == [
        "dir /usr", "dir /usr/bin", "dir /var", "dir /var/empty",
        f"obj /usr/bin/my tool {MD5} 7", "sym /usr/bin/alias -> my tool 7",
    ]  # fmt: skip
    assert sorted(os.listdir(root.path / "var")) == ["empty"]


@pytest.mark.parametrize("target", ["usr/lib", "/usr/lib"])
def test_a_folder_onto_a_link_to_a_folder_follows_it(root: Root, target: str) -> None:
    """Inside the root, wherever the link leads for this machine."""
    root.place("layout", files(f"lib->{target}", "usr/lib/"))
    assert root.place("lib", files("lib/x.so")) == ["dir /lib", f"obj /lib/x.so {MD5} 7"]
    assert (root.path / "usr/lib/x.so").is_file()
    assert root.contents.owners[b"usr/lib/x.so"] == "lab/lib-1"


def test_a_folder_that_is_there_keeps_its_mode(root: Root) -> None:
    root.place("one", lambda source: (source / "srv").mkdir(mode=0o750))
    root.place("two", lambda source: (source / "srv").mkdir(mode=0o777))
    assert oct((root.path / "srv").stat().st_mode) == "0o40750"


REFUSED = {
    "lab/two-1 installs a link as /a, where a folder of another package is already": ("a/", "a->b"),
    "lab/two-1 installs a file as /a, where a folder of another package is already": ("a/", "a"),
    "lab/two-1 installs a folder as /a, where a file of lab/one-1 is already": ("a", "a/"),
    "lab/two-1 installs a folder as /a, where a link of lab/one-1 is already": ("a->nowhere", "a/b"),
    "/a belongs to two packages: lab/one-1 and lab/two-1; leave it out of one of them": ("a", "a"),
    "/b belongs to two packages: lab/one-1 and lab/two-1; leave it out of one of them": ("b->a", "b->a"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_in_the_way_is_said(root: Root, message: str) -> None:
    first, second = REFUSED[message]
    root.place("one", files(first))
    with pytest.raises(WorkerError) as error:
        root.place("two", files(second))
    assert str(error.value) == message


def test_a_link_that_leads_out_is_followed_inside(root: Root) -> None:
    outside = root.folder / "outside"
    outside.mkdir()
    root.place("one", files(f"a->{outside}", "b->../../../outside"))
    for number, name in enumerate(("a/x", "b/x")):
        with pytest.raises(WorkerError, match=r"installs a folder as /[ab], where a link of lab/one-1"):
            root.place(f"two{number}", files(name))
    assert not any(outside.iterdir())


def test_packages_may_share_what_they_are_allowed_to(root: Root) -> None:
    root.place("one", files("x.pyc"))
    root.place("two", files("x.pyc"))
    assert root.contents.owners == {b"x.pyc": "lab/two-1"}


def test_what_no_package_owns_is_replaced(root: Root) -> None:
    root.files(**{"etc/made": "by a phase"})
    (root.path / "etc/link").symlink_to("made")
    root.place("one", files("etc/made", "etc/link"))
    assert (root.path / "etc/made").read_text() == ""
    assert not (root.path / "etc/link").is_symlink()


def test_one_package_two_names(root: Root) -> None:
    """By a link of an earlier package, two paths of a package may be one."""
    root.place("layout", files("lib->usr/lib", "usr/lib/"))
    root.place("same", files("lib/x", "usr/lib/x"))
    root.contents.owners.clear()
    (root.path / "usr/lib/x").unlink()

    def different(source: Path) -> None:
        write(source, {"lib/x": "one", "usr/lib/x": "other"})

    with pytest.raises(WorkerError, match=r"lab/odd-1 installs two different files as /usr/lib/x, one as /usr/lib/x"):
        root.place("odd", different)


@pytest.mark.parametrize("name", [b"line\nbreak", b"\xff"])
def test_names_that_contents_cannot_hold(root: Root, name: bytes) -> None:
    source = root.package("odd", lambda source: open(os.path.join(os.fsencode(source), name), "w").close())
    with pytest.raises(WorkerError, match="expected UTF-8 without line breaks"):
        root.contents.place(unpacked(os.fsencode(source)), "lab/odd-1", InstallMask(), 7)


def test_hard_links_stay_one_file(root: Root) -> None:
    def make(source: Path) -> None:
        write(source, {"a/one": "x"})
        (source / "b").mkdir()
        os.link(source / "a/one", source / "b/two")

    root.place("one", make)
    assert (root.path / "a/one").stat().st_ino == (root.path / "b/two").stat().st_ino


MASKS = {
    ("/usr/share/doc",): ["a.la", "usr/share/man/x"],
    ("/usr/share/doc", "-*.txt"): ["a.la", "usr/share/doc/y.txt", "usr/share/man/x"],
    ("*.la", "/usr/share/*/x"): ["usr/share/doc/y.txt"],
    ("/usr",): ["a.la"],
    (): ["a.la", "usr/share/doc/x", "usr/share/doc/y.txt", "usr/share/man/x"],
}


@pytest.mark.parametrize("patterns", MASKS, ids=str)
def test_install_mask(root: Root, patterns: tuple[str, ...]) -> None:
    made = files("a.la", "usr/share/doc/x", "usr/share/doc/y.txt", "usr/share/man/x", "srv/")
    lines = root.place("one", made, install_mask(patterns, ()))
    found = sorted(str(path.relative_to(root.path)) for path in root.path.rglob("*") if path.is_file())
    assert found == MASKS[patterns]
    assert [line.split()[1][1:] for line in lines if line.startswith("obj")] == found
    assert (root.path / "usr").exists() == any(name.startswith("usr") for name in found)
    assert "dir /srv" in lines


def test_features_that_leave_out_documentation(root: Root) -> None:
    root.place("one", files("usr/share/man/x", "usr/share/doc/y"), install_mask((), ("noman", "nodoc")))
    assert os.listdir(root.path / "usr") == []


@needs_root
def test_set_id_programs_are_hidden(root: Root) -> None:
    modes = {0o4755: "0o104711", 0o2755: "0o102751", 0o6755: "0o106751", 0o755: "0o100755"}

    def make(source: Path) -> None:
        for mode in modes:
            (source / oct(mode)).touch()
            (source / oct(mode)).chmod(mode)

    root.place("one", make)
    assert {mode: oct((root.path / oct(mode)).stat().st_mode) for mode in modes} == modes
