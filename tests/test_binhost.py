"""Packages that quern did not build: from a binhost that the user named, and the lock says which."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.errors import BuildError
from quern.portage import binhost, lockfile, package_index
from quern.questions import LOCK
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests import servers
from tests.conftest import Stock
from tests.projects import Said, run, write
from tests.test_emerging import ALL, TREE, Lab, ebuild
from tests.thief import thief

DEFAULTS = "profiles/image/make.defaults"
STANZA = {"CPV": "lab/top-1", "SHA1": "aa", "SIZE": "1", "BUILD_ID": "1"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A handler that does not log."""

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The files of a folder by HTTP, on the loopback interface; gives the URL."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_origins_are_read_from_the_indices(tmp_path: Path) -> None:
    """The first that has a package counts; no password gets into a lock."""
    for name, digests in (("0", ("aa", "bb")), ("1", ("aa", "cc"))):
        (tmp_path / name).mkdir()
        package_index.write_index(tmp_path / name, [{**STANZA, "SHA1": digest} for digest in digests])
    binhosts = ["https://me:secret@packages.example:8080/amd64/", "file:///srv/packages", "ssh://absent/x"]
    assert binhost.origins((tmp_path / str(number), url) for number, url in enumerate(binhosts)) == {
        ("lab/top-1", "aa"): "https://packages.example:8080/amd64",
        ("lab/top-1", "bb"): "https://packages.example:8080/amd64",
        ("lab/top-1", "cc"): "file:///srv/packages",
    }


class Using(Lab):
    """The same image elsewhere, with binhosts."""

    def use(self, binhosts: str) -> None:
        """Write the configuration."""
        text = "[portage]\nrepositories = ./tree\n{}[build]\nprofile = lab:image\nlock = lab.lock\n"
        write(self.folder, {"lab.conf": text.format(f"binhost = {binhosts}\n" if binhosts else "")})

    def build(self) -> list[str]:
        """Run the steps up to the root; give the names of those that ran."""
        said = Said()
        try:
            return [step.name for step in steps_of(self.image)[:3] if run_step(step, run(said))]
        finally:
            self.said = said.lines

    def fetched(self) -> dict[str, str]:
        """The packages of which the lock says that they were fetched, and where from."""
        packages = lockfile.parse((self.folder / "lab.lock").read_text(), "lab.lock")
        return {package.cpv: package.binhost for package in packages if package.binhost}


@pytest.mark.emerge
def test_the_lock_says_where_packages_come_from(tmp_path: Path, stock: Stock) -> None:
    one, two, lab = Lab(tmp_path / "one"), Lab(tmp_path / "two"), Using(tmp_path / "lab")
    write(one.tree, {"profiles/image/packages": "lab/base\n"})
    write(two.tree, {"profiles/image/packages": "lab/headers\n"})
    for other in (one, two):
        stock(other.folder / "binpkgs")
        for step in steps_of(other.image)[:2]:
            run_step(step, run())
    file = f"file://{two.folder}/work/packages/view"
    with serving(one.folder / "work/packages/view") as url:
        lab.use(f"{url}/ {file}")
        assert lab.build() == ["portage", "packages", "root"]
        assert lab.emerged() == ["lab/leaf-1", "lab/top-1"]
        assert lab.fetched() == {"lab/base-1": url, "lab/headers-1": file}
        assert lab.ledger()["lab/base-1"] == f"fetched from {url}: no binary package yet"
        assert lab.ledger()["lab/top-1"] == "built: no binary package yet"
        text = (lab.folder / "lab.lock").read_text()

        # known for good, with the packages: not fetched again, nor asked for
        write(lab.tree, {"lab/leaf/leaf-1.ebuild": ebuild("# edited", slot="0/1")})
    assert lab.fetched() == {"lab/base-1": url, "lab/headers-1": file}
    LOCK.answer(lab.image, run(), check=False)
    assert lab.fetched() == {"lab/base-1": url, "lab/headers-1": file}
    assert (lab.folder / "lab.lock").read_text() != text

    # what was fetched is for those who name the binhost: without it, everything is built
    lab.use("")
    lab.build()
    assert lab.emerged() == ALL
    assert lab.ledger()["lab/base-1"] == f"built: binhost {file} removed, binhost {url} removed"
    assert lab.fetched() == {}

    # a package that is not as the index says, or not there
    view = one.folder / "work/packages/view"
    stanzas = package_index.read_index(view)
    package_index.write_index(view, [{**stanza, "SIZE": "5"} for stanza in stanzas])
    assert refusal(tmp_path / "size", f"file://{view}")[0].endswith(
        "of lab/base-1 is not the file that the index of its binhost describes"
    )
    package = view / stanzas[0]["PATH"]
    package.unlink()
    first, second = refusal(tmp_path / "gone", f"file://{view}")[:2]
    assert first == f"{package.name} of lab/base-1 is in the index of a binhost, but cannot be had from it"
    assert second == f"  tried file://{package}: No such file or directory"


@pytest.mark.emerge
def test_nothing_but_quern_asks_a_binhost(tmp_path: Path, stock: Stock) -> None:
    """A library that the profile has every program load, Portage's among them, finds no network."""
    if reason := obstacle():
        pytest.skip(reason)
    one, lab = Lab(tmp_path / "one"), Using(tmp_path / "lab")
    for other in (one, lab):
        write(other.tree, {"profiles/image/packages": "lab/base\nlab/headers\n"})
    stock(one.folder / "binpkgs")
    for step in steps_of(one.image)[:2]:
        run_step(step, run())
    view = one.folder / "work/packages/view"
    package_index.write_index(
        view, [stanza for stanza in package_index.read_index(view) if stanza["CPV"] == "lab/base-1"]
    )
    with servers.serving(view) as (address, asked):
        library = thief(lab.tree, address)
        write(lab.tree, {DEFAULTS: f'{TREE[DEFAULTS]}LD_PRELOAD="{library}"\n'})
        lab.use(address)
        lab.build()
    assert lab.fetched() == {"lab/base-1": address}
    assert lab.emerged() == ["lab/headers-1"]
    assert asked == ["/Packages.gz", "/Packages", f"/{package(view)}"]


def package(view: Path) -> str:
    """The path of the only package."""
    (stanza,) = package_index.read_index(view)
    return stanza["PATH"]


def refusal(folder: Path, binhost: str) -> list[str]:
    """The lines of the error of an image of lab/base alone with this binhost, and another that is not there."""
    lab = Using(folder)
    write(lab.tree, {"profiles/image/packages": "lab/base\n"})
    lab.use(f"file://{folder}/absent {binhost}")
    with pytest.raises(BuildError) as error:
        lab.build()
    warning = f"Warning: file://{folder}/absent is left out, its packages are built here: no file Packages there"
    assert warning in lab.said
    return str(error.value).splitlines()
