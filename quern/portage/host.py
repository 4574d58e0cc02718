"""The build's own host side: what Portage takes for the machine it runs on, kept in the work folder.

build/NAME/host/
  usr/bin/                   the whole PATH of a build: the declared tools, no more
  share/portage/config/      make.globals and sets of the installed Portage
  etc/portage/make.profile/  Portage reads no other configuration for its host side
  var/db/pkg/                an empty package database: nothing of the machine's counts
  var/cache/edb/dep/         the ebuilds' metadata, kept between runs
  home/
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from quern.portage.configroot import host_defaults, write_profile
from quern.portage.installation import Installation

LDCONFIG = "#!/bin/sh\n# An install step that calls ldconfig must not rewrite the machine's linker cache.\n"


@dataclass(frozen=True)
class Host:
    """The host side at `root`, to be filled from `tools` and Portage's `installation`."""

    root: Path
    installation: Installation
    tools: dict[str, Path]
    toolchains: tuple[Path, ...]

    @property
    def bin(self) -> Path:
        """The one folder of the build's PATH."""
        return self.root / "usr/bin"

    @property
    def cache(self) -> Path:
        """Portage's cache of ebuild metadata."""
        return self.root / "var/cache/edb/dep"

    def prepare(self, profile: str) -> None:
        """Make or remake everything but the metadata cache; `profile` is the `repository:path` of the image."""
        for stale in ("usr", "share", "etc", "var/db", "var/lib"):
            shutil.rmtree(self.root / stale, ignore_errors=True)
        for folder in (
            "usr/bin",
            "share/portage/config",
            "etc/portage/make.profile",
            "var/db/pkg",
            "var/cache",
            "home",
        ):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        self._link_tools()
        config = self.root / "share/portage/config"
        shutil.copy(self.installation.defaults / "make.globals", config)
        shutil.copytree(self.installation.defaults / "sets", config / "sets")
        write_profile(self.root / "etc/portage/make.profile", profile)
        (self.root / "etc/portage/make.profile/make.defaults").write_text(host_defaults())
        self._settle_cache()

    def _link_tools(self) -> None:
        for name, path in self.tools.items():
            (self.bin / name).symlink_to(path)
        if "tar" in self.tools:
            (self.bin / "gtar").symlink_to(self.tools["tar"])  # unpack() dies without it
        ldconfig = self.bin / "ldconfig"
        ldconfig.write_text(LDCONFIG)
        ldconfig.chmod(0o755)
        for toolchain in self.toolchains:
            for file in sorted(toolchain.iterdir()):
                target = self.bin / file.name
                target.unlink(missing_ok=True)
                shutil.copyfile(file, target)
                target.chmod(0o755)  # a wheel does not keep the executable bit

    def _settle_cache(self) -> None:
        """Give all cached metadata one constant time.

        Portage accepts an entry whose file has the ebuild's time in whole seconds: an ebuild edited in the second in
        which its entry was written would stay stale.
        """
        for folder, _, names in os.walk(self.cache):
            for name in names:
                os.utime(os.path.join(folder, name), (1, 1))
