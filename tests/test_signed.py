"""Binary packages that must be signed, by real gpg: what a binhost may not get past."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quern.drivers.raw import RawDriver
from quern.errors import BuildError, ConfigError, QuernError
from quern.portage import package_index
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.conftest import Stock, tool
from tests.projects import Said, run, write
from tests.test_emerging import Lab

pytestmark = pytest.mark.emerge

SIGN = """\
import portage, sys
from portage.gpkg import gpkg
for path in sys.argv[1:]:
    gpkg(portage.settings, gpkg_file=path).update_signature()
"""


def portage_environment(folder: Path) -> dict[str, str]:
    """For Portage without a system of its own."""
    defaults = Path(sys.prefix) / "share/portage/config"
    target = folder / "host/share/portage/config"
    shutil.copytree(defaults, target, ignore=shutil.ignore_patterns("repos.conf"), dirs_exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PORTAGE_OVERRIDE_EPREFIX": str(folder / "host"),
        "PORTAGE_CONFIGROOT": str(folder),
        "PORTAGE_REPOSITORIES": "[DEFAULT]\n",
    }


class Signer:
    """A key of its own, in a GnuPG home; `public` is the file of its public key."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(mode=0o700, parents=True)
        self.gpg("--passphrase", "", "--quick-gen-key", "Packages <packages@example.org>", "ed25519", "sign", "never")
        self.public = folder / "keys.asc"
        self.public.write_text(self.gpg("--armor", "--export"))

    def gpg(self, *arguments: str) -> str:
        argv = [str(tool("gpg", "gpg")), "--homedir", str(self.home), "--batch", "--quiet", *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def sign(self, packages: list[Path]) -> None:
        """Sign binary packages, as Portage does."""
        environment = {
            **portage_environment(self.home.parent),
            "BINPKG_GPG_SIGNING_BASE_COMMAND": "gpg --sign --armor [PORTAGE_CONFIG]",
            "BINPKG_GPG_SIGNING_GPG_HOME": str(self.home),
            "BINPKG_GPG_SIGNING_KEY": "packages@example.org",
            "BINPKG_GPG_SIGNING_DIGEST": "SHA512",
        }
        subprocess.run(
            [sys.executable, "-c", SIGN, *map(str, packages)], env=environment, check=True, capture_output=True
        )

    def close(self) -> None:
        """End what gpg has started."""
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)


def describe(view: Path) -> None:
    """Write the index of what there is now."""
    stanzas = package_index.read_index(view)
    for stanza in stanzas:
        data = (view / stanza["PATH"]).read_bytes()
        stanza["SIZE"] = str(len(data))
        stanza["SHA1"] = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        stanza["MD5"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    package_index.write_index(view, stanzas)


class Signed(Lab):
    """An image that takes packages from a binhost, if they are signed."""

    def __init__(self, folder: Path, binhost: Path, keys: Path, confine: str = "auto") -> None:
        super().__init__(folder)
        text = f"[portage]\nrepositories = ./tree\nbinhost = file://{binhost}\nbinhost_keys = {keys}\n"
        write(folder, {"lab.conf": f"{text}[build]\nprofile = lab:image\nconfine = {confine}\n"})

    def build(self) -> list[str]:
        """Run the steps up to the root; give the names of those that ran."""
        said = Said()
        try:
            return [step.name for step in steps_of(self.image)[:3] if run_step(step, run(said))]
        finally:
            self.said = said.lines


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Whose packages are wanted."""
    with closing(Signer(tmp_path_factory.mktemp("signer"))) as signer:
        yield signer


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Somebody else."""
    with closing(Signer(tmp_path_factory.mktemp("other"))) as signer:
        yield signer


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, stock: Stock) -> Path:
    """The view of an image of lab/base and lab/headers, not signed."""
    other = Lab(tmp_path_factory.mktemp("other"))
    stock(other.folder / "binpkgs")
    write(other.tree, {"profiles/image/packages": "lab/base\nlab/headers\n"})
    for step in steps_of(other.image)[:2]:
        run_step(step, run())
    return other.folder / "work/packages/view"


@pytest.fixture(scope="module")
def pristine(built: Path, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, signed."""
    view = tmp_path_factory.mktemp("signed") / "view"
    shutil.copytree(built, view)
    signer.sign([view / stanza["PATH"] for stanza in package_index.read_index(view)])
    describe(view)
    return view


def package(view: Path, name: str) -> Path:
    (path,) = (view / "lab" / name).glob("*.gpkg.tar")
    return path


@pytest.mark.parametrize("confine", ["auto", "off"])
def test_packages_that_are_signed(pristine: Path, signer: Signer, other: Signer, tmp_path: Path, confine: str) -> None:
    lab = Signed(tmp_path, pristine, signer.public, confine)
    assert lab.build() == ["portage", "packages", "root"]
    assert lab.emerged() == ["lab/leaf-1", "lab/top-1"]
    assert lab.ledger()["lab/base-1"] == f"fetched from file://{pristine}: no binary package yet"
    assert lab.installed() == {"base": "base-1", "leaf": "leaf-1", "top": "top-1"}
    assert lab.build() == []

    # other keys: what these have signed does not count any more
    write(
        lab.folder, {"lab.conf": (lab.folder / "lab.conf").read_text().replace(str(signer.public), str(other.public))}
    )
    with pytest.raises(BuildError, match=r"base-1-1\.gpkg\.tar is not the binary package that it should be"):
        lab.build()


def test_packages_that_are_not_signed(built: Path, signer: Signer, tmp_path: Path) -> None:
    lab = Signed(tmp_path, built, signer.public)
    with pytest.raises(BuildError) as error:
        lab.build()
    said = str(error.value)
    assert said.startswith("portage.binhost_keys: a binhost gave packages that no key in ")
    assert re.findall(r"^  lab/(\S+): \S+", said, re.M) == ["base-1", "headers-1"]
    assert list((lab.folder / "binpkgs").rglob("*.tar")) == []
    assert not list((lab.folder / "work/.packages.new/image").rglob("*base*"))


Verify = Callable[[Path, str], dict[str, str]]


@pytest.fixture(scope="module")
def verify(signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Verify:
    """What the worker refuses of a file that is called a package."""
    home = tmp_path_factory.mktemp("keyring") / "gnupg"
    driver = RawDriver()
    driver.call("keyring", home=str(home), keys=str(signer.public), name="keys")
    environment = {**portage_environment(home.parent), "BINPKG_GPG_VERIFY_GPG_HOME": str(home)}
    environment |= {"GPG_VERIFY_USER_DROP": "", "GPG_VERIFY_GROUP_DROP": ""}

    def refused(path: Path, cpv: str) -> dict[str, str]:
        found: dict[str, str] = driver.call("verify", environment=environment, packages={str(path): cpv})["refused"]
        return found

    return refused


def test_a_signed_package_is_what_it_is(pristine: Path, verify: Verify) -> None:
    assert verify(package(pristine, "base"), "lab/base-1") == {}
    assert verify(package(pristine, "base"), "lab/base-2") == {"lab/base-2": "it is lab/base-1"}
    assert verify(package(pristine, "base"), "lab/headers-1") == {"lab/headers-1": "it is lab/base-1"}


def test_a_package_of_another_format(pristine: Path, verify: Verify, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(package(pristine, "base"), tmp_path / "base-1.xpak"))
    assert verify(path, "lab/base-1") == {"lab/base-1": "base-1.xpak is of a format that has no signatures"}


def test_a_package_that_somebody_else_has_signed(built: Path, other: Signer, verify: Verify, tmp_path: Path) -> None:
    path = Path(shutil.copyfile(package(built, "base"), tmp_path / "base-1-1.gpkg.tar"))
    assert list(verify(path, "lab/base-1")) == ["lab/base-1"]
    other.sign([path])
    assert verify(path, "lab/base-1") == {"lab/base-1": "GnuPG verification failed"}


@pytest.mark.parametrize("how", ["content", "stripped", "appended", "cut"])
def test_a_package_that_was_changed(pristine: Path, verify: Verify, tmp_path: Path, how: str) -> None:
    path = tmp_path / "base-1-1.gpkg.tar"
    with tarfile.open(package(pristine, "base")) as old, tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as new:
        for member in old:
            file = old.extractfile(member)
            data = file.read() if file else b""
            if how == "stripped" and member.name.endswith(".sig"):
                continue
            if how == "content" and member.name.endswith("image.tar.gz"):
                data = data[:-1] + bytes([data[-1] ^ 1])
            new.addfile(member, io.BytesIO(data))
            if how == "appended" and member.name.endswith("image.tar.gz"):
                new.addfile(member, io.BytesIO(data))
    if how == "cut":
        path.write_bytes(path.read_bytes()[:4096])
    assert list(verify(path, "lab/base-1")) == ["lab/base-1"]


def test_keys_that_are_none(pristine: Path, tmp_path: Path) -> None:
    lab = Signed(tmp_path / "lab", pristine, tmp_path / "absent.asc")
    with pytest.raises(ConfigError, match=r"^portage\.binhost_keys: .*absent\.asc: No such file or directory$"):
        lab.build()
    (tmp_path / "absent.asc").write_text("nothing\n")
    with pytest.raises(QuernError, match=r"absent\.asc: expected public keys, as gpg --export writes them \("):
        lab.build()
