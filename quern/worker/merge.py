"""Merge binary packages into an empty root, in the order given: contents, phases, database, environment.

    unpack ─▶ move into the root ─▶ database entry                            a package without phases
    pkg_setup ─▶ unpack ─▶ pkg_preinst ─▶ move ─▶ entry ─▶ pkg_postinst       one with phases; Portage runs those

Standard library alone where no package has phases and none has files in /etc/env.d. What is printed is what emerge
prints, so that whoever reads one reads the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from typing import NamedTuple

from . import WorkerError, entry, gpkg, phases, regular, vdb
from .contents import Contents
from .gpkg import BinaryPackage
from .mask import InstallMask, install_mask
from .removal import remove_tree
from .settings import adopt

FAILED = "!!! Not merged: "  # begins the line with the reason where it is not a phase that failed
SHOWN = 64 << 10  # bytes of a failed package's log that are shown


class Request(NamedTuple):
    """What is to be merged.

    packages    [cpv, repository, path of the binary package], in order
    mask        INSTALL_MASK
    shared      COLLISION_IGNORE
    features    those of FEATURES that change what is installed
    every_phase whether phases are run that a package does not define: for the hooks of a bashrc or a repository
    epoch       seconds, in place of times in CONTENTS
    settings    what Portage's host side is told (settings.py)
    first       a command line that installs on the host side what phases need (IDEPEND), or none
    """

    root: str
    scratch: str
    packages: list[list[str]]
    mask: list[str]
    shared: list[str]
    features: list[str]
    every_phase: bool
    epoch: int
    settings: str
    first: list[str]


def merge(path: str) -> int:
    """Do what the request in the file `path` says; returns the exit status. Nothing is cleaned up after a failure."""
    with open(path, encoding="utf-8") as file:
        request = Request(**json.load(file))
    adopt(request.settings)
    if request.first and (status := subprocess.run(request.first, stdin=subprocess.DEVNULL).returncode):
        return status
    return run(request)


def run(request: Request) -> int:
    """Merge the packages of `request`, on a host side that is ready; returns the exit status."""
    merger = _Merger(request)
    try:
        merger.run()
    except OSError as error:  # what write(2) refuses, Python gives no name
        where = os.fsdecode(error.filename2 or error.filename or request.root)
        print(f"{FAILED}{json.dumps(f'{where}: {error.strerror or error}')}", flush=True)
        return 1
    except WorkerError as error:
        print(f"{FAILED}{json.dumps(str(error))}", flush=True)
        return 1
    except phases.PhaseFailed as failed:
        merger.show(failed)
        return 1
    return 0


class _Merger:
    """A root that is being filled; `made` has what phases have made in it, with their package."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.contents = Contents(request.root, request.shared, "sfperms" in request.features)
        self.mask = install_mask(request.mask, request.features)
        self.every_phase = request.every_phase or phases.special(request.features)
        self.made: dict[str, str] = {}
        self.current = ""
        self._portage: phases.Portage | None = None
        self._stale_environment = False

    @property
    def portage(self) -> phases.Portage:
        """Portage, imported where it is needed first."""
        if self._portage is None:
            self._portage = phases.Portage()
        return self._portage

    def run(self) -> None:
        """Merge all packages. Raises WorkerError, OSError or PhaseFailed."""
        total = len(self.request.packages)
        for number, (cpv, repository, path) in enumerate(self.request.packages, start=1):
            self.current = f"{cpv}::{repository}"
            about = f"({number} of {total}) {self.current}"
            print(f">>> Emerging binary {about} for {self.request.root}/", flush=True)
            with gpkg.opened(path) as package:
                self._check(cpv, package, path)
                wanted = phases.PHASES if self.every_phase else phases.needed(package.metadata)
                if wanted:
                    self._with_phases(cpv, package, path, wanted, about)
                else:
                    self._plain(cpv, package, about)
            print(f">>> Completed {about} to {self.request.root}/", flush=True)
        self._update_environment()
        vdb.finish(self.request.root)
        there = self._names()
        made = {path: cpv for path, cpv in self.made.items() if path in there}
        target = os.path.join(os.path.dirname(self.request.root), vdb.MADE)
        remove_tree(os.fsencode(target))  # a phase may have put a link or a pipe there
        with open(target, "x", encoding="utf-8") as file:
            json.dump(made, file, sort_keys=True)

    def _check(self, cpv: str, package: BinaryPackage, path: str) -> None:
        names = (package.metadata.get(name, b"").decode(errors="replace").strip() for name in ("CATEGORY", "PF"))
        if (found := "/".join(names)) != cpv:
            raise WorkerError(f"{path} is the binary package of {found}, not of {cpv}")

    def _plain(self, cpv: str, package: BinaryPackage, about: str) -> None:
        unpacked = os.path.join(self.request.scratch, "unpacked")
        os.mkdir(unpacked)
        gpkg.unpack(package, os.fsencode(unpacked))
        self._place(cpv, unpacked, package.metadata, self.mask, about)
        shutil.rmtree(unpacked)

    def _with_phases(self, cpv: str, package: BinaryPackage, path: str, wanted: tuple[str, ...], about: str) -> None:
        self._update_environment()  # which phases may read
        before = self._names()
        merging = self.portage.merging(cpv, package, path)
        if "setup" in wanted:
            merging.run("setup")
        merging.unpack()
        mask = self.mask
        if self.every_phase:
            merging.prepare_for_installing()
            changed = merging.mask()
            mask = install_mask((changed or "").split(), ())
        if "preinst" in wanted:
            merging.run("preinst")
        self._place(cpv, merging.image, package.metadata, mask, about)
        if "postinst" in wanted:
            merging.run("postinst")
        merging.clear()
        installed = {f"/{os.fsdecode(name)}" for name in self.contents.owners}
        self.made.update(dict.fromkeys(self._names() - before - installed, cpv))

    def _place(self, cpv: str, unpacked: str, metadata: dict[str, bytes], mask: InstallMask, about: str) -> None:
        print(f">>> Installing {about} to {self.request.root}/", flush=True)
        contents = self.contents.place(unpacked, cpv, mask, self.request.epoch)
        if mask.patterns:
            metadata = {**metadata, "INSTALL_MASK": " ".join(mask.patterns).encode() + b"\n"}
        entry.write(self.request.root, cpv, metadata, contents)
        self._stale_environment = True

    def _names(self) -> set[str]:
        """Everything in the root but its folders and the package database, as absolute paths there."""
        names, end = set[str](), len(self.request.root)
        for folder, folders, files in os.walk(self.request.root):
            if folder == os.path.join(self.request.root, vdb.DATABASE):
                folders.clear()
                continue
            names.update(f"{folder[end:]}/{name}" for name in files)
        return names

    def _update_environment(self) -> None:
        if self._stale_environment and vdb.has_environment(self.request.root):
            self.portage.env_update()
        self._stale_environment = False

    def show(self, failed: phases.PhaseFailed) -> None:
        """Print what the failed phase has, and what emerge prints after that."""
        with contextlib.suppress(OSError):  # the phase may have removed it, or put something else there
            sys.stdout.write(regular.end(failed.log, SHOWN).decode(errors="replace"))
        if failed.phase == "postinst":
            print(" * FAILED postinst: 1")
        print(f">>> Failed to emerge {self.current} for {self.request.root}/, Log file:")
        print(f"\n>>>  '{failed.log}'", flush=True)
