"""The names that folders have inside a confined build: the same wherever the project lies.

    /run/quern/
      build/               the place of one package: ROOT is build/image, PKGDIR build/made
      host/                Portage's host side: EPREFIX of what is built for it, and where BDEPEND is found
      tmp/                 PORTAGE_TMPDIR
      logs/                PORTAGE_LOGDIR
      config/              PORTAGE_CONFIGROOT, read-only
      inputs/              the binary packages of the closure, and what the worker is told; read-only
      toolchains/NAME/     what repositories bring for the host side, read-only
      distfiles/           the folder of sources, read-only; DISTDIR is build/sources, with copies of those declared
      repositories/NAME/   the recipe (see `recipe`), read-only

What a build writes down of its paths is then no reason for other bytes, and a package that was built for the host side
(it contains EPREFIX, PMS 11.1) serves every project. The folders cannot be found under the names that they have
outside. In namespaces /run is the build's own (`namespaces.HIDDEN`), so there can be mount points.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quern.drivers.base import Reach, Shown

if TYPE_CHECKING:
    from quern.steps.emerging import Build

TOP = "/run/quern"
BUILD, HOST, TMP = f"{TOP}/build", f"{TOP}/host", f"{TOP}/tmp"
LOGS, CONFIG, INPUTS, DISTFILES = f"{TOP}/logs", f"{TOP}/config", f"{TOP}/inputs", f"{TOP}/distfiles"
REPOSITORIES = f"{TOP}/repositories"


class Names(NamedTuple):
    """Folders, and their names inside; without any, all have the names that they have outside.

    `folders` are (path outside, path inside), `hidden` the folders and files that a command shall not find at
    their own place.
    """

    folders: tuple[tuple[Path, str], ...] = ()
    hidden: tuple[Path, ...] = ()

    def inside(self, path: Path) -> str:
        """The name inside of a file or folder: by the innermost of the folders that it is in."""
        above = [(here, there) for here, there in self.folders if path.is_relative_to(here)]
        if not above:
            return str(path)
        here, there = max(above, key=lambda pair: len(pair[0].parts))
        return str(Path(there, path.relative_to(here)))

    def outside(self, text: str) -> str:
        """`text`, which a command has printed, with the paths in it as they are outside."""
        for here, there in sorted(self.folders, key=lambda pair: -len(pair[1])):
            text = str(here).join(re.split(rf"(?<![\w./-]){re.escape(there)}(?![\w.-])", text))
        return text

    def reach(self, writable: Sequence[Path], readable: Iterable[Path] = ()) -> Reach:
        """What a command reaches that may write to the folders `writable`, and to nothing else of `folders`."""
        if not self.folders:
            return Reach(writable, [*readable])
        shown = [Shown(here, there, any(map(here.is_relative_to, writable))) for here, there in self.folders]
        open_to_it = {each.here for each in shown if each.writable}
        inner = [path for path in writable if not any(map(path.is_relative_to, open_to_it))]
        shown += [Shown(path, self.inside(path), True) for path in inner]
        return Reach((), [*readable], shown, self.hidden)

    def as_json(self) -> dict[str, Any]:
        """These names as JSON values."""
        return {"folders": [[str(here), there] for here, there in self.folders], "hidden": [*map(str, self.hidden)]}


def from_json(data: Mapping[str, Any]) -> Names:
    """The names that `as_json` gave."""
    folders = ((Path(here), there) for here, there in data.get("folders", ()))
    return Names(tuple(folders), tuple(map(Path, data.get("hidden", ()))))


def names_of(build: Build) -> Names:
    """The names in the builds and merges of one image's steps."""
    image, repositories = build.setup.image, build.setup.repositories()
    folders = {
        build.own or build.staging: BUILD,
        build.host: HOST,
        build.log.with_suffix(""): LOGS,
        image.distfiles: DISTFILES,
        **{build.location(each): f"{REPOSITORIES}/{each.name}" for each in repositories},
    }
    folders |= {each: f"{TOP}/toolchains/{each.parent.name}" for each in build.setup.toolchains()}
    if build.own:  # else it is in staging, and what is moved from there to ROOT must be on the same mount
        folders |= {build.scratch / "config": CONFIG, build.inputs: INPUTS, build.tmp: TMP}
    hidden = (image.work, image.binpkgs, *(each.location for each in repositories), *build.off_limits)
    return Names(tuple(folders.items()), hidden)
