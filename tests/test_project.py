from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import ConfigError
from quern.project import Image, project_images
from tests.projects import write


def images(folder: Path, **variables: str) -> dict[str, Image]:
    return {image.name: image for image in project_images(folder, variables)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of two images, and things that are none."""
    return write(
        tmp_path,
        {
            "profiles/one/quern.conf": "",
            "profiles/two/quern.conf": "[build]\nimage_name = second\n",
            "profiles/base/make.defaults": "",
            "profiles/repo_name": "images\n",
        },
    )


def test_an_image_is_a_folder_with_a_configuration(folder: Path) -> None:
    assert list(images(folder)) == ["one", "two"]


def test_defaults_are_in_the_project(folder: Path) -> None:
    image = images(folder)["one"]
    assert image.folder == folder / "profiles/one"
    assert image.work == folder / "build/one"
    assert image.outdir == folder / "images"
    assert image.binpkgs == folder / "build/binpkgs"
    assert image.distfiles == folder / "build/distfiles"
    assert image.archive == folder / "images/one.oci.tar"


def test_image_name_names_the_outputs_only(folder: Path) -> None:
    image = images(folder)["two"]
    assert (image.output_name, image.archive) == ("second", folder / "images/second.oci.tar")
    assert image.work == folder / "build/two"


def test_configured_folders(folder: Path) -> None:
    image = images(
        folder,
        QUERN_BUILD_WORKDIR="/var/quern",
        QUERN_BUILD_OUTDIR="out",
        QUERN_PORTAGE_BINPKG="/var/binpkgs",
        QUERN_PORTAGE_DISFTILES="/var/distfiles",
    )["one"]
    assert image.work == Path("/var/quern/one")
    assert image.outdir == folder / "out"
    assert (image.binpkgs, image.distfiles) == (Path("/var/binpkgs"), Path("/var/distfiles"))


def test_work_folder_alone_moves_what_is_shared_with_it(folder: Path) -> None:
    image = images(folder, QUERN_BUILD_WORKDIR="/var/quern")["one"]
    assert (image.binpkgs, image.distfiles) == (Path("/var/quern/binpkgs"), Path("/var/quern/distfiles"))


def test_a_named_configuration_comes_last(folder: Path) -> None:
    write(folder, {"mine.conf": "[build]\nimage_name = mine\n"})
    (folder / "profiles/two/quern.conf").unlink()
    image = images(folder, QUERN_CONFIG=str(folder / "mine.conf"))["one"]
    assert image.output_name == "mine"
    assert image.settings.sources[-2:] == (folder / "profiles/one/quern.conf", folder / "mine.conf")


def test_two_images_must_not_write_the_same_file(folder: Path) -> None:
    write(folder, {"profiles/one/quern.conf": "[build]\nimage_name = second\n"})
    with pytest.raises(ConfigError) as error:
        images(folder)
    assert str(error.value) == (
        f"profiles/one and profiles/two both write {folder}/images/second.oci.tar; "
        "give one of them another [build] image_name or outdir"
    )
    write(folder, {"profiles/one/quern.conf": "[build]\nimage_name = second\noutdir = elsewhere\n"})
    with pytest.raises(ConfigError, match=r"both write second:latest; give one of them another \[dockergen\] name"):
        project_images(folder, {})
    apart = "[build]\nimage_name = second\noutdir = elsewhere\n[dockergen]\nname = x\n"
    write(folder, {"profiles/one/quern.conf": apart})
    assert len(images(folder)) == 2


def test_two_images_must_not_have_the_same_lock(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"both write .*/shared\.lock; give one of them another \[build\] lock"):
        images(folder, QUERN_BUILD_LOCK="shared.lock")


def test_a_lock_is_not_where_a_build_cleans(folder: Path) -> None:
    write(folder, {"profiles/one/quern.conf": "[build]\nlock = build/one/packages/packages.lock\n"})
    with pytest.raises(ConfigError, match=r"one/quern\.conf:2: build\.lock: .* is in the work folder"):
        images(folder)


def test_locked_needs_a_lock(folder: Path) -> None:
    write(folder, {"profiles/one/quern.conf": "[build]\nlocked = on\n"})
    with pytest.raises(ConfigError, match=r"one/quern\.conf:2: build\.locked: expected `lock = PATH` with it"):
        images(folder)
    write(folder, {"profiles/one/quern.conf": "[build]\nlocked = on\nlock = profiles/one/packages.lock\n"})
    assert images(folder)["one"].settings.build.lock == folder / "profiles/one/packages.lock"


@pytest.mark.parametrize("place", ["profiles", "profiles/one/work", "."])
def test_a_work_folder_must_not_hold_the_users_files(folder: Path, place: str) -> None:
    if place == ".":  # a work folder `profiles` in the project
        write(folder, {"profiles/profiles/quern.conf": ""})
    with pytest.raises(ConfigError, match=r"build\.workdir: .* would mix with"):
        images(folder, QUERN_BUILD_WORKDIR=place)


@pytest.mark.parametrize("name", ["binpkgs", "distfiles"])
def test_an_image_must_not_be_built_where_packages_are_kept(folder: Path, name: str) -> None:
    write(folder, {f"profiles/{name}/quern.conf": ""})
    with pytest.raises(ConfigError, match=f"profiles/{name}: .*/build/{name} is for all images"):
        images(folder)
    assert name in images(folder, QUERN_PORTAGE_BINPKG="/b", QUERN_PORTAGE_DISTFILES="/d")


@pytest.mark.parametrize("what", ["a link to nothing", "a folder"])
def test_a_configuration_is_a_file(folder: Path, what: str) -> None:
    file = folder / "profiles/odd/quern.conf"
    file.parent.mkdir()
    file.symlink_to("nowhere" if what == "a link to nothing" else ".")
    with pytest.raises(ConfigError, match=f"odd/quern.conf: expected a file, got {what}"):
        images(folder)


@pytest.mark.parametrize("name", ["a=b", "a b", "-a", "UPPER"])
def test_names_of_images(folder: Path, name: str) -> None:
    write(folder, {f"profiles/{name}/quern.conf": ""})
    with pytest.raises(ConfigError, match="the name of an image is made of"):
        images(folder)
