"""Fetching what packages are built from, before anything is built: no ebuild ever runs with the network.

quern fetches the sources itself (see quern.fetching), and binary packages of binhosts (see binhosts).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from quern.errors import BuildError, display
from quern.fetching import messages, mirrors
from quern.fetching import sources as fetching
from quern.fetching.mirrors import Mirrors
from quern.fetching.sources import Begun, Fetched, Progress, Source, Unfetched
from quern.fetching.uris import Places, mirror_names, places, together
from quern.fetching.web import Web
from quern.portage import emerge
from quern.portage.tally import FETCHING
from quern.steps import binhosts
from quern.steps.base import counted, megabytes
from quern.worker import regular
from quern.worker.namespaces import HIDDEN
from quern.worker.special import instead

if TYPE_CHECKING:
    from quern.portage.plan import Package, Plan
    from quern.steps.emerging import Build

LIVE = """\
{packages}: a live ebuild fetches its sources while it is built, and builds have no network
Take a released version, or give builds a network with {option}"""

UNSEEN = """\
sources are links to where builds see nothing; copy the files, or name their folder as [portage] distfiles:
  {links}"""


def fetch(build: Build, plan: Plan, packages: Sequence[Package], targets: Sequence[str]) -> None:
    """Get what is needed to build `packages`, of this plan: binary packages where binhosts have them, else sources.

    `targets` are words of emerge's command line: for these binhosts are asked. Raises BuildError if something cannot
    be had, if a package would fetch while it is built, or if what is in a source's place is no file.
    """
    if not build.setup.image.settings.portage.binhost:
        fetch_sources(build, plan, packages)
        return
    taken = binhosts.fetch(build, targets)
    fetch_sources(build, plan, [each for each in packages if (each.cpv, each.on_host) not in taken])
    if taken:
        binhosts.take_over(build, targets)


def fetch_sources(build: Build, plan: Plan, packages: Sequence[Package]) -> None:
    """Get the sources of `packages` into the distfiles folder, as their Manifests describe them. Raises BuildError."""
    folder, options = build.setup.image.distfiles, build.setup.image.settings.portage
    _check_kinds(build, packages)
    option = build.run.driver.offline
    if option and (live := [package.cpv for package in packages if package.live]):
        raise BuildError(LIVE.format(packages=", ".join(live), option=option))
    if option and (links := _unseen(build, packages)):
        rows = "\n  ".join(f"{link} -> {target}" for link, target in links.items())
        raise BuildError(UNSEEN.format(links=rows))
    lacking = fetching.missing(packages, folder)
    if not lacking:
        return
    known = _places(build, plan, lacking)
    if options.offline and (missing := [each for each in lacking if not known[each.name].tried]):
        raise BuildError(messages.offline(missing, folder))
    unfetchable = [package for each in lacking if not known[each.name].tried for package in each.packages]
    if restricted := {package.atom for package in unfetchable if "fetch" in package.restrict}:
        _ask_the_ebuilds(build, sorted(restricted))
    _fetch(build, lacking, known)


def _fetch(build: Build, lacking: Sequence[Source], known: Mapping[str, Places]) -> None:
    """Fetch what is lacking, and say how far that is. Raises BuildError."""
    folder, failed, begun = build.setup.image.distfiles, list[Unfetched](), 0
    size = sum(source.file.size for source in lacking)
    build.run.say(f"Fetching {counted(len(lacking), 'source file')}, {megabytes(size)}")
    build.tally.begin(fetching=True)
    _note(build, f"{FETCHING} {counted(len(lacking), 'source file')}")
    for event in fetching.fetch(lacking, known, folder, Web(os.environ)):
        source = event.source
        if isinstance(event, Begun):
            begun += 1
            line = f">>> Fetching ({begun} of {len(lacking)}) {source.package.cpv}::{source.package.repository}"
            _note(build, f"{line} {source.name}")
        elif isinstance(event, Progress):
            build.run.say(messages.progress(event))
        elif isinstance(event, Unfetched):
            failed.append(event)
            _note(build, f"{source.name} could not be fetched")
        else:
            _tell(build, event, folder)
    if failed:
        raise BuildError(f"{messages.unfetched(failed, known, folder)}\nlog: {build.log}")


def _tell(build: Build, fetched: Fetched, folder: Path) -> None:
    """Say what was fetched from where, and what became of the file that was there."""
    source = fetched.source
    what = f"{source.name} of {source.package.cpv}"
    _note(build, f"{what} fetched from {fetched.url}" if fetched.url else f"{what} is there now")
    if fetched.aside:
        build.run.say(messages.put_aside(fetched, folder))


def _note(build: Build, line: str) -> None:
    """Write a line into the step's log, from which the progress is read, too."""
    regular.append(build.log, f"{line}\n")
    build.tally.line(line, monotonic())


def _places(build: Build, plan: Plan, lacking: Sequence[Source]) -> dict[str, Places]:
    """Where each source can be had."""
    options = build.setup.image.settings.portage
    uris = {source.name: [each.sources.get(source.name, ()) for each in source.packages] for source in lacking}
    wanted = {name for lists in uris.values() for each in lists for name in mirror_names(each)}
    known = Mirrors(plan.mirrors, mirrors.configured(options.mirrors, wanted), options.gentoo_mirrors)
    found = {}
    for source in lacking:
        pairs = zip(uris[source.name], source.packages, strict=True)
        found[source.name] = together([places(each, package.restrict, known) for each, package in pairs])
    return {name: each.offline() for name, each in found.items()} if options.offline else found


def _ask_the_ebuilds(build: Build, atoms: Sequence[str]) -> None:
    """Raise BuildError with what the pkg_nofetch of these packages says: where a user gets their sources.

    Emerge runs it, without network, and with sources that it cannot write to.
    """
    options = emerge.source_options(build.processors, binhost=False)
    build.emerge([*options, "--fetchonly", "--nodeps"], atoms)


def _check_kinds(build: Build, packages: Sequence[Package]) -> None:
    """Raise BuildError if something that is no file is in a source file's place: it is not ours to remove."""
    folder = build.setup.image.distfiles
    for path in sorted({folder / name for package in packages for name in package.distfiles}):
        kind = instead(path)
        if path.is_symlink() and not path.exists():
            kind = f"a link to {path.readlink()}, which is not there"
        if kind:
            raise BuildError(f"{display(path)}: expected a source file, got {kind}; remove it, or put the file there")


def _unseen(build: Build, packages: Sequence[Package]) -> dict[Path, Path]:
    """The sources that are links to what is there, but not where a build sees it, and where they lead.

    In a container nothing else of the machine is there; elsewhere builds have some folders for themselves.
    """
    image = build.setup.image
    if build.setup.in_container:
        hidden, seen = ["/"], [image.distfiles]
    else:
        reach = replace(build, renames=True).reach()
        hidden, seen = [*HIDDEN, *map(str, reach.hidden)], [*reach.readable]
    covered, shown = ([Path(path).resolve() for path in paths] for paths in (hidden, seen))
    names = sorted({name for package in packages for name in package.distfiles})
    links = {path: path.resolve() for path in (image.distfiles / name for name in names) if path.is_symlink()}
    return {
        link: target
        for link, target in links.items()
        if any(map(target.is_relative_to, covered)) and not any(map(target.is_relative_to, shown)) and target.exists()
    }
