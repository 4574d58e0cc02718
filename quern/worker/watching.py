"""What of the repositories a resolution depended on: what was read, what was looked for in vain, what was listed.

Python's audit events (PEP 578) show every open and every listing, failed ones too, but neither os.stat nor what bash
reads. What those decide is added by name: where packages, ebuilds, cached metadata and eclasses would be.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from . import WorkerError
from .special import instead

Portage = Any  # what it makes: it has no type annotations that mypy could follow
Listener = Any

EVENTS = ("open", "os.listdir", "os.scandir")
# below a repository: Portage asks whether these are there before it reads them (PMS 4, portage(5))
ASKED_FOR = ("eclass", "metadata", "metadata/layout.conf", "profiles", "profiles/repo_name", "sets.conf")
CACHES = ("metadata/md5-cache", "metadata/cache")


class Watch:
    """Collects paths from the moment it is made; an audit hook stays until the process ends."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._names: set[str] = set()  # category/package
        self._unread: dict[tuple[str, str], Portage] = {}  # ebuilds that bash is reading, or could not read
        self._scanning = False
        self._unreadable = ""
        sys.addaudithook(self._audit)
        self._listen()

    def paths(self, repositories: Iterable[Portage]) -> list[str]:
        """Everything below `repositories` (Portage's RepoConfig) that was asked for, whether it is there or not."""
        places = [(repository.name, str(repository.location)) for repository in repositories]
        roots = {location for _, location in places}
        given = {os.path.realpath(root): root for root in roots}
        for name, location in places:  # in a container the same tree is also where a stage's own profile leads to
            for place in (f"/var/db/repos/{name}", "/usr/portage"):
                if os.path.isdir(place) and os.path.samefile(place, location):
                    given.setdefault(place, location)
        found = {os.path.join(root, name) for root in roots for name in (*ASKED_FOR, *self._names)}
        for eclasses in self._unread.values():  # any of them may be why
            found.update(_eclass_files(eclasses, eclasses.eclasses))
        for path in self._paths:
            absolute = os.path.abspath(path)
            for real, root in given.items():
                if absolute.startswith((f"{root}/", f"{real}/")):
                    below = absolute[len(root if absolute.startswith(f"{root}/") else real) :]
                    found.add(root + below)  # not by its real name: the link to it may be changed
        found.difference_update(roots)
        return sorted(os.path.normpath(path) for path in found)

    def check(self) -> None:
        """Raise WorkerError if something could not be read, whatever Portage has made of it."""
        if self._unreadable:
            raise WorkerError(self._unreadable)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and not self._scanning and isinstance(arguments[0], (str, bytes)):
            path = os.fsdecode(arguments[0])
            self._paths.add(path)
            if event == "open" and not path.startswith("/dev/") and (kind := instead(path)) not in ("", "a folder"):
                self._unreadable = f"{path}: expected a file, got {kind}"
                self.check()  # the open does not happen

    def _listen(self) -> None:
        """Have Portage's tree database tell what it looks for."""
        from portage.dbapi import porttree
        from portage.versions import cpv_getkey

        tree = porttree.portdbapi

        def named(database: Portage, name: str) -> None:
            self._names.add(str(name))

        def found(database: Portage, cpv: str) -> None:
            self._names.add(str(cpv_getkey(cpv) or cpv))

        pull = tree._pull_valid_cache

        def pulled(database: Portage, cpv: str, ebuild: str, location: str) -> Portage:
            self._paths.add(ebuild)
            self._paths.update(f"{location}/{cache}/{cpv}" for cache in CACHES)
            data, digest = pull(database, cpv, ebuild, location)
            if data is None:  # now bash reads the ebuild
                self._unread[location, str(cpv)] = _eclasses(database, location)
            else:
                self._paths.update(_eclass_files(_eclasses(database, location), data.get("_eclasses_") or ()))
            return data, digest

        def read(database: Portage, cpv: str, location: str, data: Portage) -> None:
            self._unread.pop((location, str(cpv)), None)
            self._paths.update(_eclass_files(_eclasses(database, location), data.get("_eclasses_") or ()))

        _before(tree, "cp_list", named)
        _before(tree, "findname2", found)
        tree._pull_valid_cache = pulled
        _before(tree, "_write_cache", read)
        self._skip_scans(porttree._better_cache)
        self._end_failures(porttree.EbuildMetadataPhase)

    def _skip_scans(self, cache: Portage) -> None:
        """Portage lists whole categories to know which repositories have a package: the package's folder is enough."""
        scan = cache._scan_cat

        def quietly(instance: Portage, category: str) -> None:
            self._scanning = True
            try:
                scan(instance, category)
            finally:
                self._scanning = False

        cache._scan_cat = quietly

    def _end_failures(self, phase: Portage) -> None:
        """Portage waits for ever for an ebuild that it cannot even open: a folder, or one that we may not read."""
        begin = getattr(phase, "_async_start", None)
        if begin is None:  # a Portage that reads it at once, and lets the error through
            return

        async def begun(instance: Portage) -> None:
            try:
                await begin(instance)
            except Exception as error:
                name = getattr(error, "filename", None) or instance.ebuild_hash.location
                self._unreadable = self._unreadable or f"{name}: {getattr(error, 'strerror', None) or error}"
                instance.returncode = 1

        phase._async_start = begun


def eclass_file(eclasses: Portage, name: str) -> str:
    """The file that bash takes for an eclass: Portage's own table may name a master's with the same time."""
    for tree in reversed(eclasses.porttrees):
        path = os.path.join(tree, "eclass", f"{name}.eclass")
        if os.path.isfile(path):
            return path
    return str(eclasses.eclasses[name].location)


def _eclasses(database: Portage, location: str) -> Portage:
    return database.repositories.get_repo_for_location(location).eclass_db


def _eclass_files(eclasses: Portage, names: Iterable[str]) -> list[str]:
    """Where each of the eclasses is, or would be found first."""
    return [os.path.join(tree, "eclass", f"{name}.eclass") for tree in eclasses.porttrees for name in names]


def _before(owner: Portage, name: str, listener: Listener) -> None:
    """Have `listener` called with the arguments of each call of the method `name`; later ones than it knows are cut."""
    method = getattr(owner, name)
    known = listener.__code__.co_argcount

    def wrapped(*arguments: Portage, **named: Portage) -> Portage:
        listener(*arguments[:known])
        return method(*arguments, **named)

    setattr(owner, name, wrapped)
