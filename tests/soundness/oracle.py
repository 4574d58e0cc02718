"""What a fresh resolve says, and what is in the files that the planned packages would be built from.

Nothing here asks what quern has recorded. Each question is answered from a new configuration root and from the same
cached metadata, those of the tree as it was generated, so that no answer depends on an earlier one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quern.drivers.base import Reach
from quern.drivers.raw import RawDriver
from quern.errors import QuernError
from quern.portage import emerge
from quern.portage.keys import package_keys
from quern.portage.plan import Package, Plan
from quern.portage.tools import MachineIdentity
from quern.steps.base import Run
from quern.steps.chain import setup_of, steps_of
from quern.steps.emerging import Build
from tests.projects import Said
from tests.soundness.resolver import Resolver
from tests.soundness.tree import Tree


@dataclass(frozen=True)
class Answer:
    """A plan with the keys of its packages; `contents` are digests of what each is built from, by id.

    No plan: there is no solution, or quern refuses the project; then `error` says why.
    """

    plan: Plan | None
    keys: Mapping[str, str]
    contents: Mapping[str, str]
    error: str = ""

    def differs(self, other: Answer) -> bool:
        """Whether anything would be built or installed otherwise."""
        return (self.planned(), self.keys, self.contents) != (other.planned(), other.keys, other.contents)

    def planned(self) -> Any:  # noqa: ANN401 (compared only)
        """The plan without what was noted while it was made."""
        return self.plan and (self.plan.packages, self.plan.host, dict(self.plan.variables))

    @property
    def packages(self) -> dict[str, Package]:
        """The packages by id, those to build with too."""
        return {package.id: package for package in (*self.plan.packages, *self.plan.host)} if self.plan else {}


@dataclass(frozen=True)
class ForkingDriver(RawDriver):
    """The raw driver with the resolver forked."""

    resolver: Resolver = field(default_factory=Resolver)

    def call(
        self, verb: str, *, environment: Mapping[str, str] | None = None, reach: Reach | None = None, **params: object
    ) -> dict[str, Any]:
        """See Driver.call."""
        if verb == "resolve":
            return self.resolver.ask(environment or {}, params)
        if verb == "remove":  # of a plan that fails: the folders are used again
            return {}
        return super().call(verb, environment=environment, reach=reach, **params)


class Oracle:
    """The one to ask about a project; it has a work folder of its own."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.driver = ForkingDriver()
        work = tree.folder / "oracle/image"
        self.cache = work / "host/var/cache/edb/dep"
        self.kept = tree.folder / "oracle/depcache"
        run = Run(self.driver, Said())
        image = tree.image(work)
        self.portage = steps_of(image)[0].place.output
        self.build = Build(setup_of(image), run, work / "resolving", self.portage, work / "logs/resolving.log")
        self._configure()
        self.build.staging.mkdir()
        self.build.log.parent.mkdir()
        self.build.prepare()

    def answer(self) -> Answer:
        """What a fresh resolve says now."""
        try:
            self._configure()
            self._restore_cache()
            plan = self.build.plan(emerge.source_options(1, binhost=False), self.build.setup.sets())
            keys = package_keys(plan, MachineIdentity([]))
        except (QuernError, OSError, RuntimeError) as error:
            return Answer(None, {}, {}, f"{'a defect: ' * isinstance(error, RuntimeError)}{error}")
        contents = {each.id: _content(each) for each in (*plan.packages, *plan.host)}
        if not self.kept.is_dir():
            shutil.copytree(self.cache, self.kept)
        return Answer(plan, keys, contents)

    def _configure(self) -> None:
        """Make the configuration root anew."""
        image, scratch = self.build.setup.image, self.build.scratch / "config/etc/portage"
        shutil.rmtree(self.portage, ignore_errors=True)
        self.portage.mkdir(parents=True)
        steps_of(image)[0].build(self.portage, self.build.run)
        if scratch.is_dir():
            shutil.copytree(self.portage / "etc/portage", scratch, dirs_exist_ok=True)

    def _restore_cache(self) -> None:
        """Let Portage's cache hold what it held after the first answer, with the times that quern gives it."""
        if not self.kept.is_dir():
            return
        for path in (path for path in self.cache.rglob("*") if path.is_file() and path.stat().st_mtime != 1):
            path.unlink()
        for path in (path for path in self.kept.rglob("*") if path.is_file()):
            target = self.cache / path.relative_to(self.kept)
            if not target.exists():
                shutil.copyfile(path, target)
                os.utime(target, (1, 1))

    def close(self) -> None:
        """End the resolver."""
        self.driver.resolver.close()


def inputs_of(package: Package) -> list[Path]:
    """The files that a package is built from, as they are named in the repositories."""
    ebuild = Path(package.ebuild)
    eclasses = [Path(path) for path in package.eclasses.values()]
    return [ebuild, *eclasses, ebuild.parent / "files", ebuild.parent / "Manifest"]


def _content(package: Package) -> str:
    """A digest of the content of a package's files, names and links in files/ included."""
    ebuild, *eclasses, files, manifest = inputs_of(package)
    digest = hashlib.sha256()
    for path in (ebuild, *eclasses):
        digest.update(path.read_bytes() + b"\0")
    for name, content in _files(files):
        digest.update(f"{name}\0".encode() + content + b"\0")
    if manifest.exists():
        for line in sorted(manifest.read_text().splitlines()):
            if line.startswith("DIST ") and line.split()[1] in package.distfiles:
                digest.update(" ".join(line.split()).encode() + b"\0")
    return digest.hexdigest()


def _stays_in(link: Path, folder: Path) -> bool:
    """Whether a link leads to a place in the folder; a build has a file in the place of one that leads out."""
    return not os.path.isabs(link.readlink()) and link.resolve().is_relative_to(folder.resolve())


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for current, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        yield os.path.relpath(current, folder), b""
        for name in sorted(names):
            path = Path(current, name)
            if path.exists():
                mark = bytes(path.readlink()) if path.is_symlink() and _stays_in(path, folder) else b""
                mark += b"x" if path.stat().st_mode & 0o111 else b"-"
                yield name, mark + path.read_bytes()
