"""The phases of a binary package that run while it is merged: pkg_setup, pkg_preinst and pkg_postinst (PMS 9.2).

Portage runs them, in the folders and with the settings that emerge gives them, but is imported once for all packages
of a root. Runs in Portage's Python with the environment that emerge would get; `_emerge` is private to Portage, and a
test compares the outcome with emerge's.
"""

from __future__ import annotations

import bz2
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from typing import Any

from . import accounts, bytecode
from .gpkg import BinaryPackage

PHASES = ("setup", "preinst", "postinst")


class PhaseFailed(Exception):
    """A phase has failed; `log` is the package's own log."""

    def __init__(self, phase: str, log: str) -> None:
        super().__init__(phase)
        self.phase = phase
        self.log = log


def needed(metadata: Mapping[str, bytes]) -> tuple[str, ...]:
    """The phases that a package defines (DEFINED_PHASES, PMS 7.4), in their order; all where it does not say."""
    return among(metadata.get("DEFINED_PHASES", b"").decode(errors="replace").split())


def among(defined: Collection[str]) -> tuple[str, ...]:
    """Those of PHASES that are among the words of DEFINED_PHASES, which is "-" where a package defines none."""
    return tuple(phase for phase in PHASES if phase in defined or not defined)


class Portage:
    """Portage's settings and databases of the root, imported once."""

    def __init__(self) -> None:
        if host := os.environ.get("PORTAGE_OVERRIDE_EPREFIX"):
            bytecode.write_script(host, sys.executable)
            bytecode.use_script(host)
        import portage
        from portage.package.ebuild.config import config

        self._portage = portage
        self._trees = portage.db[portage.settings["EROOT"]]
        self._config = config
        self.settings = portage.settings

    def merging(self, cpv: str, package: BinaryPackage, path: str) -> Merging:
        """Prepare to run the phases of the package `cpv` from the file `path`."""
        settings = self._config(clone=self.settings)
        settings["PORTAGE_DEBUG"] = "0"  # as emerge has it, and ebuilds may see
        settings.backup_changes("PORTAGE_DEBUG")
        database = self._trees["bintree"].dbapi
        settings.setcpv(self._described(cpv, package.metadata, path))
        return Merging(settings, database, package, path)

    def _described(self, cpv: str, metadata: Mapping[str, bytes], path: str) -> Any:  # noqa: ANN401 (no types)
        """The package as emerge's scheduler has it, so that its USE flags are those that it was built with.

        Not from Portage's own reader, which computes the digests of the whole file.
        """
        from _emerge.Package import Package
        from _emerge.RootConfig import RootConfig

        status = os.stat(path)
        known = {"SIZE": str(status.st_size), "_mtime_": str(int(status.st_mtime))}
        for name in {*Package.metadata_keys}.difference(known):
            known[name] = " ".join(metadata.get(name, b"").decode(errors="replace").split())
        database = self._trees["bintree"].dbapi
        found = self._portage.versions._pkg_str(cpv, metadata=known, settings=self.settings, db=database)
        root = RootConfig(self.settings, self._trees, None)
        return Package(built=True, cpv=found, metadata=known, root_config=root, type_name="binary")

    def env_update(self) -> None:
        """Make what env-update(1) makes of the root's /etc/env.d, and its loader's cache where it has an ldconfig."""
        from portage.util.env_update import env_update

        settings = self._config(clone=self.settings)
        # without its contents, all folders of libraries count as changed
        env_update(target_root=settings["ROOT"], prev_mtimes={}, env=settings, vardbapi=self._trees["vartree"].dbapi)


class Merging:
    """One package whose phases are run, in a build folder of its own."""

    def __init__(self, settings: Any, database: Any, package: BinaryPackage, path: str) -> None:  # noqa: ANN401
        from portage.package.ebuild.doebuild import doebuild_environment
        from portage.package.ebuild.prepare_build_dirs import prepare_build_dirs

        self.settings = settings
        self.package = package
        self.folder = os.path.join(
            os.path.realpath(settings["PORTAGE_TMPDIR"]), "portage", settings["CATEGORY"], settings["PF"]
        )
        self.info = os.path.join(self.folder, "build-info")
        self._ebuild = os.path.join(self.info, f"{settings['PF']}.ebuild")
        self._database = database
        settings["EBUILD"] = self._ebuild
        doebuild_environment(self._ebuild, "setup", settings=settings, db=database)
        settings.configdict["pkg"].update({"EMERGE_FROM": "binary", "MERGE_TYPE": "binary", "REPLACING_VERSIONS": ""})
        settings["PORTAGE_BINPKG_FILE"] = path
        prepare_build_dirs(settings["ROOT"], settings, True)
        for folder in (self.image, self.info):
            os.makedirs(folder, 0o755, exist_ok=True)
        for name, content in package.metadata.items():
            with open(os.path.join(self.info, name), "wb") as file:
                file.write(content)
        self._take_environment()

    @property
    def image(self) -> str:
        """D: where the package is unpacked (PMS 11.1)."""
        return os.path.join(self.folder, "image")

    @property
    def log(self) -> str:
        """The package's own log."""
        return str(self.settings.get("PORTAGE_LOG_FILE") or "")

    def _take_environment(self) -> None:
        """Give the phases the environment that the package was built with."""
        saved = os.path.join(self.settings["T"], "environment")
        with open(saved, "wb") as file:
            file.write(bz2.decompress(self.package.metadata.get("environment.bz2", b"")))
        with open(f"{saved}.raw", "wb"):  # has ebuild.sh leave out what is not to be kept
            pass

    def run(self, phase: str) -> None:
        """Run one phase; its output goes to the package's log. Raises PhaseFailed."""
        from _emerge.EbuildPhase import EbuildPhase
        from portage.package.ebuild.doebuild import doebuild_environment

        accounts.show(self.settings["ROOT"])
        if phase == "preinst":
            doebuild_environment(self._ebuild, phase, settings=self.settings, db=self._database)
        self._wait(EbuildPhase, phase, phase=phase)

    def mask(self) -> str | None:
        """INSTALL_MASK as a bashrc has left it; None where there is none."""
        from _emerge.MiscFunctionsProcess import MiscFunctionsProcess

        self._wait(MiscFunctionsProcess, "preinst", phase="preinst", commands=["preinst_mask"])
        try:
            with open(os.path.join(self.info, "INSTALL_MASK"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def prepare_for_installing(self) -> None:
        """Compress and strip where binary packages are not (instprep, FEATURES=-binpkg-docompress in make.conf(5))."""
        self.run("instprep")

    def _wait(self, task: Any, name: str, **arguments: object) -> None:  # noqa: ANN401
        from portage.util._async.SchedulerInterface import SchedulerInterface
        from portage.util.futures import asyncio

        scheduler = SchedulerInterface(asyncio._safe_loop())
        running = task(background=True, scheduler=scheduler, settings=self.settings, **arguments)
        running.start()
        if running.wait() != os.EX_OK:
            raise PhaseFailed(name, self.log)

    def clear(self) -> None:
        """Remove the build folder."""
        shutil.rmtree(self.folder)


def special(features: Collection[str]) -> bool:
    """Whether FEATURES of a profile change every package while it is merged (make.conf(5))."""
    return bool({"suidctl", "selinux", "chflags"}.intersection(features)) or not {
        "binpkg-docompress", "binpkg-dostrip",
    }.issubset(features)  # fmt: skip
