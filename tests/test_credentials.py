"""A password in the address of a binhost or mirror stays between the configuration and who fetches."""

from __future__ import annotations

import base64
import bz2
import functools
import gzip
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from quern import config
from quern.errors import BuildError, ConfigError
from quern.questions.explain import EXPLAIN
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.building import CHECKOUT
from tests.conftest import Stock
from tests.projects import Said, run, write
from tests.test_emerging import TREE, Lab, ebuild
from tests.test_manifests import INSTALLS, line

USER, SECRET = "someone", "pa55-word"
SOURCE = 'SRC_URI="mirror://lab/source.txt"'


class Asking(http.server.SimpleHTTPRequestHandler):
    """Serves files to those who know the password."""

    def do_GET(self) -> None:
        known = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {known}":
            super().do_GET()
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="packages"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a server of `folder`, with the password in it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Asking, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{USER}:{SECRET}@127.0.0.1:{server.server_port}"
        server.shutdown()


class Guarded(Lab):
    """An image with a package and a source behind a password."""

    def __init__(self, folder: Path, url: str, confine: str = "auto") -> None:
        super().__init__(folder)
        write(
            self.tree,
            {
                "profiles/image/packages": "lab/base\nlab/leaf\n",
                "lab/leaf/leaf-1.ebuild": ebuild(SOURCE, INSTALLS, slot="0/1"),
                "lab/leaf/Manifest": line(b"good"),
            },
        )
        text = "[portage]\nrepositories = ./tree\nbinhost = {0}/view\nmirrors = lab={0}/files lab={0}/absent\n"
        text += "[build]\nprofile = lab:image\nlock = lab.lock\nconfine = {1}\n[postbuild]\nengines = none\n"
        write(self.folder, {"lab.conf": text.format(url, confine)})

    def build(self) -> list[str]:
        """Run all steps, and ask what would run."""
        said = Said()
        try:
            EXPLAIN.answer(self.image, run(said), json=False)
            return [step.name for step in steps_of(self.image) if run_step(step, run(said))]
        finally:
            self.said = said.lines

    def traces(self) -> list[str]:
        """The files below the folder, but for the configuration, in which the password is, packed or not."""
        return [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if _holds(path)]


def _holds(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.name == "lab.conf":
        return False
    return any(SECRET.encode() in data or SECRET in str(path) for data in _unpacked(path.read_bytes()))


def _unpacked(data: bytes) -> Iterator[bytes]:
    """What a file holds, in every layer of packing."""
    yield data
    if not data:
        return
    for unpack in (gzip.decompress, bz2.decompress):
        with suppress(OSError, ValueError, EOFError):
            yield from _unpacked(unpack(data))
    with suppress(tarfile.ReadError), tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            yield f"{member.name} {member.pax_headers}".encode(errors="replace")
            if member.isfile() and (file := archive.extractfile(member)):
                yield from _unpacked(file.read())


@pytest.fixture
def served(tmp_path: Path, stock: Stock) -> Path:
    """A folder to serve: a view with lab/base, and a source."""
    other = Lab(tmp_path / "other")
    stock(other.folder / "binpkgs")
    write(other.tree, {"profiles/image/packages": "lab/base\n"})
    for step in steps_of(other.image)[:2]:
        run_step(step, run())
    (other.folder / "work/packages/files").mkdir()
    (other.folder / "work/packages/files/source.txt").write_text("good")
    return other.folder / "work/packages"


@pytest.mark.emerge
@pytest.mark.parametrize("confine", ["auto", "off"])
def test_no_trace_of_a_password(served: Path, tmp_path: Path, confine: str) -> None:
    with serving(served) as url:
        lab = Guarded(tmp_path / "lab", url, confine)
        lab.build()
        assert f"fetched from {url.replace(f'{USER}:{SECRET}@', '')}/view" in lab.ledger()["lab/base-1"]
        assert (lab.folder / "work/root/image/usr/share/lab/source").read_text() == "good"
    assert SECRET not in "\n".join(lab.said)
    assert lab.traces() == []


@pytest.mark.emerge
def test_no_trace_of_a_password_after_a_failure(served: Path, tmp_path: Path) -> None:
    (served / "files/source.txt").unlink()
    with serving(served) as url:
        lab = Guarded(tmp_path / "lab", url)
        with pytest.raises(BuildError) as error:
            lab.build()
    assert "source.txt" in str(error.value)
    assert SECRET not in "\n".join([str(error.value), *lab.said])
    assert lab.traces() == []


def test_what_is_wrong_with_an_address_is_said_without_its_password(tmp_path: Path) -> None:
    for option in (f"binhost = https://{USER}:{SECRET}@[host/", f"mirrors = https://{USER}:{SECRET}@host/"):
        write(tmp_path, {"lab.conf": f"[portage]\n{option}\n"})
        with pytest.raises(ConfigError) as error:
            config.load([tmp_path / "lab.conf"], {}, tmp_path)
        assert "host/" in str(error.value)
        assert SECRET not in str(error.value)


def test_what_doit_tells_of_tasks(tmp_path: Path) -> None:
    lab = Guarded(tmp_path, f"https://{USER}:{SECRET}@packages.invalid")
    write(
        lab.folder, {"profiles/small/quern.conf": (lab.folder / "lab.conf").read_text(), "profiles/repo_name": "own\n"}
    )
    write(
        lab.folder,
        {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "tree/profiles/repo_name": TREE["profiles/repo_name"]},
    )
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    for command in (["list", "--all", "--status", "--deps"], ["info", "packages:small"]):
        ran = subprocess.run(
            [sys.executable, "-m", "doit", *command], cwd=lab.folder, env=environment, capture_output=True, text=True
        )
        assert ran.returncode in (0, 1), ran.stderr
        assert SECRET not in ran.stdout + ran.stderr
