"""The build's own host side: what Portage takes for the machine it runs on, kept in the work folder.

    build/NAME/host/
      usr/bin/                   the whole PATH of a build: the declared tools, no more
      share/portage/config/      make.globals and sets of the installed Portage
      etc/portage/make.profile/  Portage reads no other configuration for its host side
      var/db/pkg/                an empty package database: nothing of the machine's counts
      var/cache/edb/dep/         the ebuilds' metadata, kept between runs
      home/

What a build takes from the machine is declared, tool by tool, in the repository's `metadata/quern-tools`, checked
before anything is built, and part of every package's key.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from quern.errors import DriverError
from quern.portage.installation import Installation

TOOLS = "metadata/quern-tools"  # in a repository: tool<TAB>Debian package<TAB>what needs it
TOOLCHAIN = "toolchain"  # in the starter: files to be put on the build's PATH
LDCONFIG = "#!/bin/sh\n# An install step that calls ldconfig must not rewrite the machine's linker cache.\n"


@dataclass(frozen=True)
class Tool:
    """A program of the machine that a build uses."""

    name: str
    debian: str
    needed_by: str


def declared_tools(repositories: Iterable[Path]) -> list[Tool]:
    """The tools that the repositories at these paths declare, each once; a repository need not declare any."""
    tools: dict[str, Tool] = {}
    for repository in repositories:
        try:
            text = (repository / TOOLS).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                name, debian, needed_by = line.split("\t")
                tools.setdefault(name, Tool(name, debian, needed_by))
    return list(tools.values())


def found_tools(tools: Iterable[Tool], path: str) -> dict[str, Path]:
    """Where each tool is on the search path `path`. Raises DriverError naming all that are missing."""
    found: dict[str, Path] = {}
    missing: list[Tool] = []
    for tool in tools:
        where = shutil.which(tool.name, path=path)
        if where:
            found[tool.name] = Path(where)
        else:
            missing.append(tool)
    if missing:
        width = max(len(tool.name) for tool in missing)
        rows = "\n".join(f"  {t.name:{width}}  Debian package {t.debian}, needed by {t.needed_by}" for t in missing)
        packages = " ".join(sorted({tool.debian for tool in missing}))
        raise DriverError(f"tools that the build needs are missing:\n{rows}\nOn Debian: apt-get install {packages}")
    return found


def tools_identity(tools: dict[str, Path]) -> list[str]:
    """What identifies the tools and the compiler behind `gcc`: path, size in bytes and time of each file.

    A distribution's package fixes all three, and reading 40 MB of compiler at every no-op would cost more than
    everything else together.
    """
    files = {path.resolve() for path in tools.values()}
    for pattern in ("cc1", "collect2", "lto1", "libgcc*.a", "crt*.o"):
        files.update(Path("/usr/lib/gcc").glob(f"*/*/{pattern}"))
    rows = []
    for file in sorted(files):
        stat = file.stat()
        rows.append(f"{file} {stat.st_size} {int(stat.st_mtime)}")
    return rows


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


def write_profile(folder: Path, parent: str) -> None:
    """Make `folder` a profile whose only content is its parent, a `repository:path` (portage-2 profile format)."""
    (folder / "eapi").write_text("8\n")
    (folder / "parent").write_text(f"{parent}\n")
