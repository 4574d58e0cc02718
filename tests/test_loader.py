"""Where loaders look for libraries: as the real one of this machine does, and as musl's source says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from quern.worker import elf
from quern.worker.closure import closure
from quern.worker.loader import configured, loader_of
from tests.conftest import needs_root, tool
from tests.projects import write


def linked(target: Path, code: str, *options: str) -> None:
    """Compile C to `target` with this machine's gcc."""
    target.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(tool("gcc", "gcc")), "-x", "c", "-", "-x", "none", "-Wl,--no-as-needed", *options, "-o", str(target)]
    subprocess.run(argv, input=code, text=True, check=True, capture_output=True)


def library(target: Path, name: str, *options: str) -> Path:
    """The library NAME, which has one function of that name."""
    linked(target, f"int {name}(void){{return 0;}}", "-shared", "-fPIC", f"-Wl,-soname,lib{name}.so.1", *options)
    return target


RPATH, RUNPATH = "-Wl,--disable-new-dtags,-rpath,", "-Wl,--enable-new-dtags,-rpath,"


class Root(NamedTuple):
    """A root with this machine's loader and C library, and `lib`, a folder in which that loader looks."""

    path: Path
    lib: Path

    def bar(self, *options: str) -> Path:
        """A library where every program finds it, which needs foo."""
        return library(self.lib / "libbar.so.1", "bar", *options, str(self.foo))

    @property
    def foo(self) -> Path:
        return self.path / "usr/lib/private/libfoo.so.1"

    def program(self, *options: str) -> None:
        """The program, with what it is linked to."""
        linked(self.path / "usr/bin/x", "int main(){return 0;}", f"-Wl,-rpath-link,{self.foo.parent}", *options)

    def runs(self) -> bool:
        """Whether it starts: the loader's exit status is 127."""
        argv = [str(tool("chroot", "coreutils")), str(self.path), "/usr/bin/x"]
        status = subprocess.run(argv, capture_output=True, check=False, env={}).returncode
        assert status in (0, 127)
        return status == 0

    def unresolved(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = closure(str(self.path), str(self.path), [])["unresolved"]
        return found


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """No program is in it yet."""
    with Path(sys.executable).resolve().open("rb") as file:
        found = elf.read(file)
    assert found
    assert found.interpreter
    libc = subprocess.run(
        [str(tool("gcc", "gcc")), "-print-file-name=libc.so.6"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folders = loader_of(b"/", found.interpreter).folders
    lib = tmp_path / os.fsdecode(folders[-1]).lstrip("/")
    for source, target in ((os.fsdecode(found.interpreter), found.interpreter), (libc, folders[-1] + b"/libc.so.6")):
        place = tmp_path / os.fsdecode(target).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    made = Root(tmp_path, lib)
    library(made.foo, "foo")
    return made


def direct(root: Root) -> None:
    root.program(str(root.foo))


def runpath(root: Root) -> None:
    root.program(str(root.foo), RUNPATH + "/usr/lib/private")


def runpath_of_another(root: Root) -> None:
    root.program(str(root.bar()), RUNPATH + "/usr/lib/private")


def rpath_of_another(root: Root) -> None:
    root.program(str(root.bar()), RPATH + "/usr/lib/private")


def rpath_where_there_is_runpath(root: Root) -> None:
    root.program(str(root.bar(RUNPATH + "/nowhere")), RPATH + "/usr/lib/private")


def origin(root: Root) -> None:
    above = os.path.relpath("/usr/lib/private", f"/{root.lib.relative_to(root.path)}")
    root.program(str(root.bar(f"{RUNPATH}$ORIGIN/{above}")))


def loaded_before(root: Root) -> None:
    root.program(str(root.foo), str(root.bar()), RUNPATH + "/usr/lib/private")


def loaded_later(root: Root) -> None:
    root.program(str(root.bar()), str(root.foo), RUNPATH + "/usr/lib/private")


def a_link_on_the_way(root: Root) -> None:
    root.program(str(root.foo), RUNPATH + "/opt/link")
    write(root.path, {"opt/x": ""})
    (root.path / "opt/link").symlink_to("../usr/lib/private")


def a_link_to_it(root: Root) -> None:
    root.program(str(root.foo))
    (root.lib / "libfoo.so.1").symlink_to(os.path.relpath(root.foo, root.lib))


def cached(root: Root) -> None:
    uncached(root)
    subprocess.run([str(tool("ldconfig", "libc-bin")), "-X", "-r", str(root.path)], check=True, capture_output=True)
    (root.path / "etc/ld.so.conf").unlink()  # the loader reads the cache alone


def uncached(root: Root) -> None:
    root.program(str(root.foo))
    files = {"etc/ld.so.conf": "include ld.so.conf.d/*.conf\n", "etc/ld.so.conf.d/a.conf": "# x\n/usr/lib/private\n"}
    write(root.path, files)


@needs_root
@pytest.mark.parametrize(
    ("make", "runs"),
    [
        (direct, False),
        (runpath, True),
        (runpath_of_another, False),
        (rpath_of_another, True),
        (rpath_where_there_is_runpath, False),
        (origin, True),
        (loaded_before, True),
        (loaded_later, True),
        (a_link_on_the_way, True),
        (a_link_to_it, True),
        (cached, True),
        (uncached, False),
    ],
)
def test_glibc(root: Root, make: Callable[[Root], None], runs: bool) -> None:
    """The check says nothing of a program that this machine's loader starts, and names what it does not find."""
    make(root)
    assert root.runs() is runs
    found = root.unresolved()
    assert bool(found) is not runs
    for row in found:
        assert (row["needs"], row["at"]) == ("libfoo.so.1", "/usr/lib/private/libfoo.so.1")
        assert f"/{root.lib.relative_to(root.path)}" in row["folders"].split()
    assert ("ldconfig" in "".join(row["why"] for row in found)) is (make is uncached)


def test_what_is_configured(tmp_path: Path) -> None:
    """As ldconfig reads it: includes with globs, relative to the file, and none that leads out of the root."""
    files = {
        "etc/ld.so.conf": "/one # comment\n include ld.so.conf.d/*.conf /etc/more\ninclude ../../outside\n\n/last\n",
        "etc/ld.so.conf.d/b.conf": "/b\nrelative\n",
        "etc/ld.so.conf.d/a.conf": "/a=libc6\nhwcap 1 x\ninclude /etc/ld.so.conf\n",
        "etc/more": "/more\n",
    }
    write(tmp_path, files)
    assert set(configured(os.fsencode(tmp_path))) == {b"/one", b"/a", b"/b", b"/more", b"/last"}


MUSL = "-Wl,--dynamic-linker=/lib/ld-musl-lab.so.1"
SMALL = ("-nostdlib", "-fno-stack-protector")


@pytest.mark.parametrize(
    ("place", "options", "path", "is_found"),
    [
        ("usr/local/lib", (), None, True),
        ("usr/lib", (), None, True),
        ("usr/lib/private", (), None, False),
        ("usr/lib64", (), None, False),
        ("usr/lib64", (), "/usr/lib64:/x\n/y\n", True),
        ("usr/lib", (), "/lib64\n", False),
        ("usr/lib/private", (RUNPATH + "/usr/lib/private",), None, True),
        ("usr/lib/private", (RUNPATH + "${ORIGIN}/../lib/private",), None, True),
        ("usr/lib/private", (RUNPATH + "/usr/$LIB/private",), None, False),
    ],
)
def test_musl(tmp_path: Path, place: str, options: tuple[str, ...], path: str | None, is_found: bool) -> None:
    """Its defaults, its file of folders in their place, and search paths, which the libraries of a program inherit."""
    write(tmp_path, {"lib/ld-musl-lab.so.1": "", **({"etc/ld-musl-lab.path": path} if path else {})})
    foo = library(tmp_path / place / "libfoo.so.1", "foo", *SMALL)
    bar = library(tmp_path / place / "libbar.so.1", "bar", *SMALL, str(foo))
    program = "void _start(void){for(;;);}"
    linked(tmp_path / "usr/bin/x", program, *SMALL, MUSL, f"-Wl,-rpath-link,{foo.parent}", str(bar), *options)
    found = closure(str(tmp_path), str(tmp_path), [])["unresolved"]
    assert [row["at"] for row in found if row["file"] == "/usr/bin/x"] == (
        [] if is_found else [f"/{place}/libbar.so.1"]
    )
    if is_found:
        assert found == []


def unresolved(root: Path, **start: str) -> list[tuple[str, str]]:
    return [(row["file"], row["needs"]) for row in closure(str(root), str(root), [], **start)["unresolved"]]


def test_what_no_program_reaches(tmp_path: Path) -> None:
    """Of a plugin what lies in the same application's folder counts, which only its program can tell; else not."""
    write(tmp_path, {"lib/ld-musl-lab.so.1": ""})
    for place in ("opt/app/lib", "usr/lib/other"):
        foo = library(tmp_path / place / "libfoo.so.1", "foo", *SMALL)
        library(tmp_path / "opt/app/plugins/bar.so", "bar", *SMALL, str(foo))
        library(tmp_path / "usr/lib/python3/bar.so", "bar", *SMALL, str(foo))
    assert unresolved(tmp_path) == [("/usr/lib/python3/bar.so", "libfoo.so.1")]
    shutil.rmtree(tmp_path / "usr/lib/other")
    assert unresolved(tmp_path) == [("/usr/lib/python3/bar.so", "libfoo.so.1")]
    assert unresolved(tmp_path, library_path="/opt/app/lib") == []
    linked(
        *(tmp_path / "usr/bin/x", "void _start(void){for(;;);}", *SMALL, MUSL),
        *(str(tmp_path / "opt/app/lib/libfoo.so.1"), RUNPATH + "/opt/app/lib"),
    )
    assert unresolved(tmp_path) == []  # it may load the plugin, and has loaded what that needs
