"""Fetching what packages are built from, before anything is built: builds have no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from quern.errors import BuildError, display
from quern.portage import distfiles, mirrors
from quern.portage.keys import is_fetched
from quern.steps import signed
from quern.worker.special import instead

if TYPE_CHECKING:
    from quern.portage.plan import Package
    from quern.steps.emerging import Build

LIVE = """\
{packages}: a live ebuild fetches its sources while it is built, and builds have no network
Take a released version, or give builds a network with {option}"""

UNSEEN = """\
sources are links to where builds see nothing; copy the files, or name their folder as [portage] distfiles:
  {links}"""


def fetch(build: Build, options: Sequence[str], targets: Sequence[str], packages: Sequence[Package]) -> None:
    """Get the sources of `packages`, which `emerge OPTIONS TARGETS` will build, where builds have no network.

    Binary packages that must be signed are fetched before anything is built in any case, and checked.
    Raises BuildError if emerge fails, if a package would fetch while it is built, or is not signed, or if what is in a
    source's place is no file.
    """
    option = build.run.driver.offline
    _check_kinds(build, packages)
    _tell_mirrors(build)
    if not option and not build.keys:
        return
    if option and (live := [package.cpv for package in packages if package.live]):
        raise BuildError(LIVE.format(packages=", ".join(live), option=option))
    if option and (links := _unseen(build, packages)):
        raise BuildError(UNSEEN.format(links="\n  ".join(links)))
    lacking = [package for package in packages if not is_fetched(package, build.setup.image.distfiles)]
    restricted = [package.atom for package in lacking if package.fetch_restricted]
    if restricted and "--getbinpkg" not in options:  # pkg_nofetch says where to get them, and is the ebuild's
        build.emerge([*options, "--fetchonly", "--nodeps"], restricted, network=False)
    if "--getbinpkg" in options or lacking:
        before = signed.packages(build)
        build.emerge([*options, "--fetchonly"], targets)
        signed.check(build, signed.packages(build) - before)


def _check_kinds(build: Build, packages: Sequence[Package]) -> None:
    """Raise BuildError if something else is in a source file's place: Portage would remove it, or blame the network."""
    folder = build.setup.image.distfiles
    for path in sorted({folder / name for package in packages for name in package.distfiles}):
        kind = instead(path)
        if path.is_symlink() and not path.exists():
            kind = f"a link to {path.readlink()}, which is not there"
        if kind:
            raise BuildError(f"{display(path)}: expected a source file, got {kind}; remove it, or put the file there")


def _tell_mirrors(build: Build) -> None:
    """Tell Portage the mirrors; only where something is to be built, since asking apt takes a third of a second."""
    text = mirrors.mirrors_text(build.setup.image.settings.portage.mirrors, mirrors.apt_mirrors())
    build.write_secret("config/etc/portage/mirrors", text)


def _unseen(build: Build, packages: Sequence[Package]) -> list[str]:
    """Which sources are links that lead nowhere in a build, though here they do."""
    image, inside = build.setup.image, build.setup.in_container
    names = [name for package in packages for name in package.distfiles]
    seen = [image.work, image.distfiles] if inside else build.reach().readable
    found = distfiles.unseen(image.distfiles, names, seen, ("/",) if inside else None)
    return [f"{link} -> {target}" for link, target in found.items()]
