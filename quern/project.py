"""A project folder and its images: what exists, what each is configured to be, and where its things are.

PROJECT/
  dodo.py
  profiles/NAME/quern.conf        one image
  profiles/NAME/tests/            programs that test it
  build/NAME/                     its work folder
  build/binpkgs/  build/distfiles/    shared by all
  images/                         what is built
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from quern import config
from quern.config import Settings
from quern.config.container import image_name
from quern.config.values import LOCK, Context, Unfit
from quern.errors import ConfigError

PROFILES = "profiles"
CONFIG = "quern.conf"
TESTS = "tests"


class Image(NamedTuple):
    """One image: its name, its settings, and every path that does not depend on a step.

    `profiles` is the folder of the project's own profiles, None for an image that is only a configuration file.
    `base` is the folder that relative paths and defaults start from. `profile_name` is the profile's folder below
    `profiles`, where that is not called like the image.
    """

    name: str
    settings: Settings
    base: Path
    profiles: Path | None
    work: Path
    profile_name: str | None = None

    @property
    def folder(self) -> Path | None:
        """The image's own folder, `profiles/NAME`."""
        return self.profiles / (self.profile_name or self.name) if self.profiles else None

    @property
    def output_name(self) -> str:
        """What the names of the files and of the docker image are made of."""
        return self.settings.build.image_name or self.name

    @property
    def outdir(self) -> Path:
        """Where finished images go."""
        return self.settings.build.outdir or self.base / "images"

    @property
    def binpkgs(self) -> Path:
        """The store of binary packages."""
        return self.settings.portage.binpkg or self.work.parent / "binpkgs"

    @property
    def distfiles(self) -> Path:
        """Where source files are looked for first, and kept."""
        return self.settings.portage.distfiles or self.work.parent / "distfiles"

    @property
    def reference(self) -> str:
        """NAME:TAG in docker; the tag may still have the token for the day."""
        return f"{self.settings.dockergen.name or self.output_name}:{self.settings.dockergen.tag}"

    @property
    def archive(self) -> Path:
        """The archive that docker, podman and skopeo load."""
        return self.outdir / f"{self.output_name}.oci.tar"


def project_images(base: Path, environ: Mapping[str, str]) -> list[Image]:
    """The images of the project in `base`, by name. Raises ConfigError."""
    profiles = base / PROFILES
    if not profiles.is_dir():
        raise ConfigError(f"{profiles}: no such folder; an image is a folder {PROFILES}/NAME/ with a {CONFIG}")
    images = []
    for folder in sorted(profiles.iterdir()):
        if _is_image(folder):
            settings = config.load(config.search(folder / CONFIG, environ), environ, base)
            work = (settings.build.workdir or base / "build") / folder.name
            images.append(Image(check_name(folder.name, folder), settings, base, profiles, work))
    if not images:
        raise ConfigError(f"{profiles}: no image here; an image is a folder {PROFILES}/NAME/ with a {CONFIG}")
    _check_outputs(images)
    for image in images:
        check_image(image)
    return images


def _is_image(folder: Path) -> bool:
    """Whether a folder has a configuration. Raises ConfigError where that is a link to nothing, or a folder.

    An image that is not seen for a while is not gone: `doit prune` would remove what there is of it.
    """
    file = folder / CONFIG
    if file.is_file():
        return True
    if os.path.lexists(file):
        raise ConfigError(f"{file}: expected a file, got {'a folder' if file.is_dir() else 'a link to nothing'}")
    return False


def is_profile_file(name: str) -> bool:
    """Whether a file in a profile's folder, by its name, is the profile's: neither its configuration nor a lock, nor
    what an editor has put beside one of them for a while.
    """
    return name != CONFIG and name[0] != "." and not name.endswith((LOCK, "~"))


def check_image(image: Image) -> None:
    """Refuse settings that do not go together, or not with where the image is. Raises ConfigError."""
    _check_work(image)
    _check_lock(image)


def _check_work(image: Image) -> None:
    """Nothing is made, and so nothing cleaned, where the user's own files are."""
    for own in (image.base / "dodo.py", image.folder):
        if own and (_is_in(own, image.work) or _is_in(image.work, own)) and own.exists():
            raise ConfigError(
                f"{image.name}: build.workdir: {image.work} would mix with {own}; name a folder for nothing else"
            )


def _is_in(path: Path, folder: Path) -> bool:
    """`path.is_relative_to(folder)` for absolute paths, in less time: every start checks every image."""
    return f"{path}/".startswith(f"{folder}/")


def _check_lock(image: Image) -> None:
    """A lock is the user's file, which no clean removes; and `locked` needs one."""
    build, where = image.settings.build, dict(image.settings.origins)
    if build.lock and _is_in(build.lock, image.work):
        raise ConfigError(
            f"{where['build.lock']}: build.lock: {build.lock} is in the work folder, where nothing is kept"
        )
    if build.locked and not build.lock:
        raise ConfigError(
            f"{where['build.locked']}: build.locked: expected `lock = PATH` with it, the file to hold to, "
            f"and {image.name} has none"
        )


def check_name(name: str, place: Path) -> str:
    """Return `name` if images may be called so; `place` is where it comes from. Raises ConfigError."""
    try:
        return image_name(name, Context(place, None))
    except Unfit as error:
        raise ConfigError(f"{place}: the name of an image is made of {error.expected}, got {name!r}") from None


def _check_outputs(images: list[Image]) -> None:
    """Two images must not write the same file, and none where all keep their packages and sources."""
    seen: dict[Path | str, Image] = {}
    for image in images:
        if image.work in (image.binpkgs, image.distfiles):
            raise ConfigError(f"{PROFILES}/{image.name}: {image.work} is for all images; call this one something else")
        outputs: dict[Path | str, str] = {image.archive: "[build] image_name or outdir"}
        if image.settings.build.lock:
            outputs[image.settings.build.lock] = "[build] lock"
        if image.settings.postbuild.engines != "none":
            outputs[image.reference] = "[dockergen] name"
        for made, options in outputs.items():
            other = seen.setdefault(made, image)
            if other is not image:
                raise ConfigError(
                    f"{PROFILES}/{other.name} and {PROFILES}/{image.name} both write {made}; "
                    f"give one of them another {options}"
                )
