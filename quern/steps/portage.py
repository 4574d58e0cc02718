"""portage:NAME: Portage's configuration for one image.

build/NAME/portage/
  etc/portage/make.conf
  etc/portage/repos.conf
  etc/portage/make.profile/    parent = REPOSITORY:PROFILE
  overlay/                     a copy of the project's profiles, with the rest of an overlay around it
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from quern.errors import ProfileError, display
from quern.portage import configroot, profile_files
from quern.portage.keys import file_digest, tree_digest
from quern.portage.repository import repos_conf
from quern.portage.setup import Setup
from quern.project import is_profile_file
from quern.steps.base import Made, Run, Step
from quern.worker.sourced import sourced


@dataclass(frozen=True, eq=False, repr=False)
class PortageStep(Step):
    """Configures Portage."""

    name: ClassVar[str] = "portage"
    doc: ClassVar[str] = "configure Portage for"
    parts: ClassVar[tuple[str, ...]] = ("etc/portage/make.conf", "etc/portage/make.profile")

    setup: Setup

    def files(self) -> list[Path]:
        """The files of the image's own profile folder.

        Not quern.conf: which of its options matter here only `inputs` can tell.
        """
        if not self.setup.has_overlay or self.setup.image.folder is None:
            return []
        return [path for path in profile_parts(self.setup.image.folder) if path.is_file()]

    def inputs(self) -> dict[str, Any]:
        """The profile with all it inherits, the repositories, and our own text."""
        setup = self.setup
        return {
            "profile": setup.profile,
            "stack": [[str(folder), profile_digests(folder)] for folder in setup.stack().folders],
            "top": {path.name: file_digest(path) for path in setup.top_level_files()},
            "repos.conf": repos_conf(setup.repositories()),
            "make.conf": configroot.make_conf(),
            "layout.conf": configroot.overlay_layout(setup.bases()),
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Write the configuration root."""
        setup = self.setup
        sources = [str(path) for path in setup.image.settings.sources]
        run.say(f"Successfully loaded configuration from files {sources}")
        run.say(f"Configuring build portage at {self.place.output / 'etc/portage'}")
        etc = staging / "etc/portage"
        (etc / "make.profile").mkdir(parents=True)
        (etc / "make.conf").write_text(configroot.make_conf())
        run.say("Configuring build repositories")
        for repository in setup.repositories():
            run.say(f"Configuring repository {repository.location}")
        (etc / "repos.conf").write_text(repos_conf(setup.repositories()))
        if setup.has_overlay:
            self._copy_overlay(staging / "overlay")
        run.say(f"Enabling profile {setup.profile}")
        configroot.write_profile(etc / "make.profile", setup.profile)
        for warning in setup.stack().warnings:
            run.say(f"Warning: {warning}")
        return Made({})

    def _copy_overlay(self, overlay: Path) -> None:
        """Copy what this image uses of the project's profiles: another image's folder is none of its inputs."""
        source = self.setup.image.profiles
        assert source is not None
        (overlay / "metadata").mkdir(parents=True)
        (overlay / "metadata/layout.conf").write_text(configroot.overlay_layout(self.setup.bases()))
        profiles = overlay / "profiles"
        profiles.mkdir()
        for path in self.setup.top_level_files():
            shutil.copyfile(path, profiles / path.name)
        (profiles / "repo_name").write_text(f"{self.setup.repositories()[-1].name}\n")
        for folder in dict.fromkeys(self.setup.stack().folders):  # a folder inherited twice is there twice
            if folder.is_relative_to(source):
                _copy_profile(folder, profiles / folder.relative_to(source))


def profile_digests(folder: Path) -> dict[str, str]:
    """The digest of everything in a profile folder that is part of the profile, by name."""
    return {
        entry.name: tree_digest(entry, profile_files.is_read) if entry.is_dir() else file_digest(entry)
        for entry in profile_parts(folder)
    }


def profile_parts(folder: Path) -> list[Path]:
    """A profile folder's files, and the folders that are read as if they were files, or sourced from.

    That is `package.use/` and the like, by Portage, and whatever its bashrc may source. Other folders are profiles of
    their own; quern.conf and locks are not Portage's. What is no file at all is for who reads it to refuse.
    """
    entries = [entry for entry in sorted(folder.iterdir()) if is_profile_file(entry.name) and entry.exists()]
    read, by_bashrc = ("package.", "use.", "env"), sourced(str(folder))
    return [
        each
        for each in entries
        if not each.is_dir() or each.name.startswith(read) or each.name == "bashrc" or each.name in by_bashrc
    ]


def _copy_profile(folder: Path, target: Path) -> None:
    """Copy one profile folder, links as what they point to. Another profile may lie below it, copied already."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in profile_parts(folder):
        if entry.is_dir():
            try:
                shutil.copytree(entry, target / entry.name, ignore=_unread, dirs_exist_ok=True)
            except shutil.Error as error:  # a pipe, say, or a folder that a link leads back to
                path, _, reason = error.args[0][0]
                raise ProfileError(f"{display(Path(path))}: cannot be copied: {reason}") from None
        else:
            shutil.copyfile(entry, target / entry.name)


def _unread(folder: str, names: list[str]) -> list[str]:
    """Those of the names in a folder that Portage does not read, and links to nothing."""
    return [name for name in names if not (profile_files.is_read(name) and os.path.exists(os.path.join(folder, name)))]
