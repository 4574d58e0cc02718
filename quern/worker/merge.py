"""Merge binary packages into an empty root, in the order given: contents, phases, database, environment.

    unpack into the root ─▶ database entry                                    a package without phases
    pkg_setup ─▶ unpack ─▶ pkg_preinst ─▶ move ─▶ entry ─▶ pkg_postinst       one with phases; Portage runs those

Standard library alone where no package has phases and none has files in /etc/env.d. What is printed is what emerge
prints, so that whoever reads one reads the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import NamedTuple

from . import WorkerError, entry, finished, gpkg, phases, regular, trees, vdb
from .contents import Contents, Item
from .gpkg import BinaryPackage
from .made import Made
from .mask import InstallMask, install_mask
from .members import members, unpack
from .removal import remove_tree
from .settings import adopt
from .unpacked import unpacked

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
    """A root that is being filled."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.spare = os.path.join(request.scratch, "spare")
        self.contents = Contents(request.root, self.spare, request.shared, "sfperms" in request.features)
        self.mask = install_mask(request.mask, request.features)
        self.every_phase = request.every_phase or phases.special(request.features)
        self.made = Made(request.root)
        self.current = ""
        self._portage: phases.Portage | None = None
        self._has_environment = False  # files in /etc/env.d
        self._stale_environment = False

    @property
    def portage(self) -> phases.Portage:
        """Portage, imported where it is needed first."""
        if self._portage is None:
            self._portage = phases.Portage()
        return self._portage

    def run(self) -> None:
        """Merge all packages. Raises WorkerError, OSError or PhaseFailed."""
        os.mkdir(self.spare)
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
                    self._place(cpv, members(package, os.fsencode(self.spare)), package.metadata, self.mask, about)
            print(f">>> Completed {about} to {self.request.root}/", flush=True)
        self._update_environment()
        vdb.finish(self.request.root)
        finished.clear(self.request.root, self.contents.owners)
        self.made.write()

    def _check(self, cpv: str, package: BinaryPackage, path: str) -> None:
        names = (package.metadata.get(name, b"").decode(errors="replace").strip() for name in ("CATEGORY", "PF"))
        if (found := "/".join(names)) != cpv:
            raise WorkerError(f"{path} is the binary package of {found}, not of {cpv}")

    def _with_phases(self, cpv: str, package: BinaryPackage, path: str, wanted: tuple[str, ...], about: str) -> None:
        self._update_environment()  # which phases may read
        self.made.look()
        merging = self.portage.merging(cpv, package, path)
        if "setup" in wanted:
            merging.run("setup")
        unpack(package, os.fsencode(merging.image), os.fsencode(self.spare))
        mask = self.mask
        if self.every_phase:
            merging.prepare_for_installing()
            changed = merging.mask()
            mask = install_mask((changed or "").split(), ())
        if "preinst" in wanted:
            merging.run("preinst")
        source = os.path.join(self.request.scratch, "image")
        trees.move(merging.image, source)  # it may be in memory, or a volume of docker's
        os.mkdir(merging.image)
        self._place(cpv, unpacked(os.fsencode(source)), package.metadata, mask, about)
        remove_tree(os.fsencode(source))
        if "postinst" in wanted:
            merging.run("postinst")
        merging.clear()
        self.made.note(cpv, self.contents.owners)

    def _place(
        self, cpv: str, items: Iterable[Item], metadata: dict[str, bytes], mask: InstallMask, about: str
    ) -> None:
        print(f">>> Installing {about} to {self.request.root}/", flush=True)
        contents = self.contents.place(items, cpv, mask, self.request.epoch)
        if mask.patterns:
            metadata = {**metadata, "INSTALL_MASK": " ".join(mask.patterns).encode() + b"\n"}
        entry.write(self.request.root, cpv, metadata, contents)
        self._has_environment |= b" /etc/env.d/" in contents
        self._stale_environment = True

    def _update_environment(self) -> None:
        if self._stale_environment and self._has_environment:
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
