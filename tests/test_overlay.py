"""The copy of a project's profiles that Portage reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.portage.setup import STARTER
from quern.steps.base import clean_step, is_current, run_step
from quern.steps.chain import steps_of
from quern.steps.portage import PortageStep
from quern.steps.tarball import TarballStep
from tests.projects import overlay_image, run, write

CONF = f"[portage]\nrepositories = {STARTER}\n"


def portage_step(folder: Path, name: str = "mine") -> PortageStep:
    """The first step of profiles/NAME in a project."""
    step = steps_of(overlay_image(folder / "profiles" / name, folder / "work"))[0]
    assert isinstance(step, PortageStep)
    return step


@pytest.mark.parametrize("order", ["../base/x\n../base\n", "../base\n../base/x\n../base\n"])
def test_profiles_below_each_other(tmp_path: Path, order: str) -> None:
    files = {"repo_name": "mine\n", "mine/quern.conf": CONF, "mine/packages": "sys-libs/musl\n", "mine/parent": order}
    files |= {"base/make.defaults": 'A="1"\n', "base/package.use/one": "a/b c\n", "base/x/make.defaults": 'B="1"\n'}
    write(tmp_path / "profiles", files)
    run_step(portage_step(tmp_path), run())
    copied = tmp_path / "work/portage/overlay/profiles"
    for name in files:
        if name not in ("repo_name", "mine/quern.conf"):
            assert (copied / name).read_text() == files[name]
    assert not (copied / "mine/quern.conf").exists()


def test_a_change_behind_a_link_is_seen(tmp_path: Path) -> None:
    files = {"repo_name": "mine\n", "mine/quern.conf": CONF, "mine/packages": "sys-libs/musl\n"}
    profiles = write(tmp_path / "profiles", {**files, "mine/package.use/own": "a/b c\n"})
    write(tmp_path / "shared", {"use": "a/b d\n"})
    (profiles / "mine/package.use/linked").symlink_to(
        os.path.relpath(tmp_path / "shared/use", profiles / "mine/package.use")
    )
    run_step(portage_step(tmp_path), run())
    assert is_current(portage_step(tmp_path))
    (tmp_path / "shared/use").write_text("a/b e\n")
    assert not is_current(portage_step(tmp_path))
    run_step(portage_step(tmp_path), run())
    assert (tmp_path / "work/portage/overlay/profiles/mine/package.use/linked").read_text() == "a/b e\n"


def test_other_images_are_no_input(tmp_path: Path) -> None:
    files = {"repo_name": "mine\n", "mine/quern.conf": CONF, "mine/packages": "sys-libs/musl\n"}
    write(tmp_path / "profiles", {**files, "other/packages": "a/b\n"})
    run_step(portage_step(tmp_path), run())
    assert not (tmp_path / "work/portage/overlay/profiles/other").exists()
    write(tmp_path / "profiles", {"other/packages": "c/d\n"})
    assert is_current(portage_step(tmp_path))


def test_what_editors_leave_is_no_input(tmp_path: Path) -> None:
    """Nor is it read: the lock of Emacs is a link to nothing."""
    files = {"repo_name": "mine\n", "mine/quern.conf": CONF, "mine/packages": "sys-libs/musl\n"}
    profiles = write(tmp_path / "profiles", {**files, "mine/package.use/own": "a/b c\n"})
    run_step(portage_step(tmp_path), run())
    write(profiles, {"mine/.packages.swp": "", "mine/packages~": "", "mine/package.use/own~": "", ".x.swp": ""})
    for name in (".#packages", "package.use/.#own"):
        (profiles / "mine" / name).symlink_to("me@here.1")
    assert is_current(portage_step(tmp_path))
    write(profiles, {"mine/package.use/own": "a/b d\n"})
    assert run_step(portage_step(tmp_path), run())
    copied = tmp_path / "work/portage/overlay/profiles/mine"
    assert sorted(path.name for path in copied.rglob("*")) == ["own", "package.use", "packages"]


def test_a_lock_is_no_input(tmp_path: Path) -> None:
    """Neither one's own nor that of an image whose profile is inherited, nor one that is being written."""
    files = {
        "repo_name": "mine\n",
        "mine/quern.conf": CONF,
        "mine/packages": "sys-libs/musl\n",
        "mine/parent": "../base",
    }
    profiles = write(tmp_path / "profiles", {**files, "base/make.defaults": 'A="1"\n'})
    tarball = steps_of(overlay_image(profiles / "mine", tmp_path / "work"))[4]
    assert isinstance(tarball, TarballStep)
    run_step(portage_step(tmp_path), run())
    watched, epoch = portage_step(tmp_path).files(), tarball._epoch()
    locks = [f"{folder}{name}" for folder in ("", "mine/", "base/") for name in ("packages.lock", ".packages.lock.new")]
    write(profiles, dict.fromkeys(locks, "# Written by quern\n"))
    for name in locks:
        os.utime(profiles / name, (epoch + 99, epoch + 99))
    assert is_current(portage_step(tmp_path))
    assert (portage_step(tmp_path).files(), tarball._epoch()) == (watched, epoch)


def test_a_configuration_that_is_removed_while_an_image_is_built(tmp_path: Path) -> None:
    profiles = write(tmp_path / "profiles", {"repo_name": "mine\n", "mine/quern.conf": CONF})
    tarball = steps_of(overlay_image(profiles / "mine", tmp_path / "work"))[4]
    assert isinstance(tarball, TarballStep)
    (profiles / "mine/quern.conf").unlink()
    with pytest.raises(BuildError, match=r"mine/quern\.conf was removed while mine was built"):
        tarball._epoch()


def test_cleaned_while_the_next_step_waited(tmp_path: Path) -> None:
    """doit has looked at the step before, and `doit clean` had the lock first."""
    files = {"repo_name": "mine\n", "mine/quern.conf": CONF, "mine/packages": "sys-libs/musl\n"}
    write(tmp_path / "profiles", files)
    portage, packages, *_ = steps_of(overlay_image(tmp_path / "profiles/mine", tmp_path / "work"))
    run_step(portage, run())
    clean_step(portage, run(), dry=False)
    with pytest.raises(BuildError, match=r"packages: .*/portage\.digest was removed meanwhile, .*; run it again"):
        run_step(packages, run())
