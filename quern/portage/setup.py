"""What of Portage one image uses: its repositories, its profile, the installed Portage and the machine's tools.

Read when asked, never when tasks are created: `doit list` reads no repository.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from quern.portage import installation, tools
from quern.portage.atom import package_of
from quern.portage.keys import file_digest
from quern.portage.linked import Linked
from quern.portage.profile import ProfileStack, find_profile, read_profile_stack
from quern.portage.repository import Repository, load_repositories, overlay_repository
from quern.portage.tools import MachineIdentity, Tool
from quern.project import Image, is_profile_file

STARTER = Path(__file__).parent.parent / "starter"
# what Portage reads in an overlay's profiles/ itself (PMS 4.4), and what belongs to people
NOT_PROFILE = ("repo_name", "README", "README.rst", "README.md")


class Setup(NamedTuple):
    """The Portage side of one image.

    `path` is the search path for the tools of the place where it is built, empty for that place's own.
    """

    image: Image
    path: str

    @property
    def overlay(self) -> Path:
        """Where the copy of the project's profiles is, the rest of an overlay around it."""
        return self.image.work / "portage/overlay"

    @property
    def has_overlay(self) -> bool:
        """Whether the profile is the image's own folder, rather than one of a repository."""
        return self.image.settings.build.profile is None

    @property
    def profile(self) -> str:
        """The profile as REPOSITORY:PATH. Raises RepositoryError."""
        if self.image.settings.build.profile or self.image.folder is None:
            return self.image.settings.build.profile or ""
        return f"{self.repositories()[-1].name}:{self.image.folder.name}"

    def repositories(self) -> tuple[Repository, ...]:
        """The repositories, in order; the project's overlay last. Raises RepositoryError."""
        image = self.image
        bases = load_repositories(image.settings, STARTER)
        if not self.has_overlay:
            return bases
        assert image.profiles is not None
        overlay = overlay_repository(image.profiles, self.overlay, [repository.name for repository in bases])
        return load_repositories(image.settings, STARTER, overlay)

    def bases(self) -> list[str]:
        """The names of the configured repositories: what the overlay builds upon."""
        repositories = self.repositories()
        return [repository.name for repository in (repositories[:-1] if self.has_overlay else repositories)]

    def sets(self) -> list[str]:
        """What the image consists of: the profile's packages, and with [build] include_system its @system."""
        return ["@profile", "@system"] if self.image.settings.build.include_system else ["@profile"]

    def first(self) -> tuple[str, ...]:
        """The names (category/package) of the packages that are installed before all others, sorted."""
        atoms = self.image.settings.build.baselayout_atoms
        return tuple(sorted({name for atom in atoms if (name := package_of(atom))}))

    def stack(self) -> ProfileStack:
        """The profile with all it inherits. Raises ProfileError."""
        build = self.image.settings.build
        repositories = self.repositories()
        if self.has_overlay:
            assert self.image.folder is not None
            folder = self.image.folder
        else:
            folder = find_profile(self.profile, repositories)
        return read_profile_stack(folder, repositories, build.include_system)

    def top_level_files(self) -> list[Path]:
        """The files of the project's profiles folder itself: masks, categories and the like, for every image."""
        if not self.has_overlay or self.image.profiles is None:
            return []
        found = sorted(self.image.profiles.iterdir())
        found = [path for path in found if path.name not in NOT_PROFILE and path.suffix != ".conf"]
        return [path for path in found if path.is_file() and is_profile_file(path.name)]

    def portage_identity(self) -> str:
        """What identifies the Portage that builds: its files, or the builder image. Raises QuernError."""
        builder = self.builder()
        return builder or installation.find(self.path).identity

    def machine_identity(self, linked: Linked) -> MachineIdentity:
        """What identifies all that builds use of where they run; `linked` looks up libraries. Raises QuernError."""
        builder = self.builder()
        if builder:
            return MachineIdentity([builder, *self.toolchain_identity()])
        portage, declared = self.portage_identity(), self.tools()
        found = tools.identity(declared, tools.found_tools(declared, self.path), linked)
        user = ["user ordinary"] if os.geteuid() else []  # merged by root, what is in his packages would be his
        return found._replace(rows=[portage, *found.rows, *self.toolchain_identity(), *user])

    @property
    def in_container(self) -> bool:
        """Whether a container of a builder image builds, rather than this machine."""
        return self.image.settings.build.driver == "docker"

    @property
    def wants_confinement(self) -> bool:
        """Whether builds are to be confined; whether this machine can do that is not tried here."""
        return self.in_container or self.image.settings.build.confine != "off"

    def builder(self) -> str | None:
        """The id of the builder image, which is not that of its name; None where no container builds.

        Raises QuernError if the daemon is not there, or has no such image.
        """
        if not self.in_container:
            return None
        from quern.drivers.builder import builder_id

        return builder_id(self.image.settings.docker)

    def tools(self) -> list[Tool]:
        """The tools that the repositories declare.

        A tree that declares none for all packages, like Gentoo's, gets those of the starter too: without bash and the
        like Portage cannot even read an ebuild, and calls it masked by corruption.
        """
        locations = [repository.location for repository in self.repositories()]
        declared = tools.declared_tools(locations)
        is_enough = any(not tool.packages for tool in declared)
        return declared if is_enough else tools.declared_tools([STARTER, *locations])

    def toolchains(self) -> tuple[Path, ...]:
        """The toolchain folders of the repositories."""
        folders = (repository.location / tools.TOOLCHAIN for repository in self.repositories())
        return tuple(folder for folder in folders if folder.is_dir() and (folder.parent / tools.TOOLS).is_file())

    def toolchain_identity(self) -> list[str]:
        """What identifies the toolchain folders: every file's name and content."""
        files = [file for folder in self.toolchains() for file in sorted(folder.iterdir())]
        return [f"{file.name} {file_digest(file)}" for file in files]
