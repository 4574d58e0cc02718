"""The architecture of an image, from the profile's ARCH and CHOST."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from quern.errors import ProfileError
from quern.oci import ImageConfig, image_json
from quern.portage.platform import Platform, platform_of
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.conftest import tool
from tests.projects import image_of, run, write
from tests.test_emerging import TREE


@pytest.mark.parametrize(
    ("arch", "chost", "expected"),
    [
        ("amd64", "x86_64-pc-linux-gnu", ("amd64", None)),
        ("amd64", "", ("amd64", None)),
        ("x86", "i686-pc-linux-gnu", ("386", None)),
        ("arm64", "aarch64-unknown-linux-musl", ("arm64", "v8")),
        ("arm", "armv7a-unknown-linux-gnueabihf", ("arm", "v7")),
        ("arm", "armv6j-unknown-linux-gnueabihf", ("arm", "v6")),
        ("arm", "armv5tel-softfloat-linux-gnueabi", ("arm", "v5")),
        ("arm", "arm-unknown-linux-gnueabi", ("arm", None)),
        ("ppc64", "powerpc64le-unknown-linux-gnu", ("ppc64le", None)),
        ("ppc64", "powerpc64-unknown-linux-gnu", ("ppc64", None)),
        ("ppc", "powerpc-unknown-linux-gnu", ("ppc", None)),
        ("riscv", "riscv64-unknown-linux-gnu", ("riscv64", None)),
        ("s390", "s390x-ibm-linux-gnu", ("s390x", None)),
        ("s390", "s390-ibm-linux-gnu", ("s390", None)),
        ("loong", "loongarch64-unknown-linux-gnu", ("loong64", None)),
        ("mips", "mips64el-unknown-linux-gnu", ("mips64le", None)),
        ("mips", "mipsisa64r6el-unknown-linux-gnuabi64", ("mips64le", None)),
        ("mips", "mipsel-unknown-linux-gnu", ("mipsle", None)),
        ("mips", "mips64-unknown-linux-gnu", ("mips64", None)),
        ("mips", "mips-unknown-linux-gnu", ("mips", None)),
        ("sparc", "sparc64-unknown-linux-gnu", ("sparc64", None)),
    ],
)
def test_names(arch: str, chost: str, expected: tuple[str, str | None]) -> None:
    """Those of Go (GOARCH), which OCI's image configuration uses."""
    assert platform_of({"ARCH": arch, "CHOST": chost}) == expected


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ARCH": "hppa"}, "ARCH = 'hppa': images have no name for that; expected one of amd64, arm, "),
        ({}, "ARCH = '': images have no name"),
        ({"ARCH": "mips"}, "CHOST = '' with ARCH = 'mips': images have no name for that; expected a CHOST of mips"),
    ],
)
def test_what_has_no_name(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ProfileError, match=r"^make\.defaults of the profile: ") as error:
        platform_of(variables)
    assert said in str(error.value)


def test_what_every_gentoo_architecture_is_here() -> None:
    """All that Go knows of Gentoo's profiles/arch.list; of alpha, hppa, ia64 and m68k there are no images."""
    known = ("amd64", "arm", "arm64", "loong", "mips", "ppc", "ppc64", "riscv", "s390", "sparc", "x86")
    chost = {"mips": "mips-unknown-linux-gnu"}
    assert all(platform_of({"ARCH": arch, "CHOST": chost.get(arch, "")}).architecture for arch in known)


def test_the_configuration_of_an_image() -> None:
    """The default is that of every image before: its id stays."""
    said = json.dumps(image_json(ImageConfig(), "sha256:0", 0), sort_keys=True)
    assert said == json.dumps(image_json(ImageConfig(**Platform("amd64")._asdict()), "sha256:0", 0), sort_keys=True)
    assert "variant" not in said
    arm = image_json(ImageConfig(architecture="arm", variant="v7"), "sha256:0", 0)
    assert (arm["architecture"], arm["variant"]) == ("arm", "v7")


@pytest.mark.emerge
def test_an_image_of_another_architecture(tmp_path: Path) -> None:
    """From the profile's make.defaults into the image's configuration."""
    tool("scanelf", "pax-utils")
    tree = {name: text.replace("amd64", "arm64").replace("x86_64-pc", "aarch64-unknown") for name, text in TREE.items()}
    write(tmp_path / "tree", {**tree, "profiles/image/packages": "lab/other\n"})
    text = "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n[postbuild]\nengines = none\n"
    image = image_of(write(tmp_path, {"lab.conf": text}) / "lab.conf", tmp_path / "work")
    for step in steps_of(image):
        run_step(step, run())
    with tarfile.open(image.archive) as archive:
        (said,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        config = json.load(archive.extractfile(said["Config"]) or io.BytesIO())
    assert (config["architecture"], config["variant"]) == ("arm64", "v8")
