"""The ledger of a build of packages: what was reused, what was built, and why.

dev-lang/python-3.13.5  built: USE -readline
sys-libs/musl-1.2.5     reused
sys-libs/zlib-1.3.1     fetched from https://packages.example/amd64: 1.3 -> 1.3.1
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter

from quern.portage.changes import Change, words
from quern.portage.lockfile import Locked
from quern.portage.plan import Package

HEADER = "# Written by quern: what the last build of the packages reused, and what it built and why.\n"
_SHOWN = 5  # packages of one reason in an announcement

ON_HOST = " (to build with)"

Why = Mapping[str, Sequence[Change]]


def name_of(package: Package) -> str:
    """What a package that is built is called: its cpv, and that it is no part of the image where that is so."""
    return f"{package.cpv}{ON_HOST if package.on_host else ''}"


def announcement(why: Why, total: int) -> Iterator[str]:
    """What will be built of `total` packages, and why (by `name_of`), in a few lines: one a reason."""
    packages: dict[str, list[str]] = {}
    for cpv, found in sorted(why.items()):
        packages.setdefault(words(found), []).append(cpv)
    head = f"Building {len(why)} of {total} packages"
    if len(packages) == 1 and len(why) == total:
        yield f"{head}: {next(iter(packages))}"
        return
    yield head
    for reason, cpvs in packages.items():
        more = f" and {len(cpvs) - _SHOWN} more" if len(cpvs) > _SHOWN else ""
        yield f"  {', '.join(cpvs[:_SHOWN])}{more}: {reason}"


def text(packages: Iterable[Locked], why: Why) -> str:
    """The ledger of all packages, of which those in `why` (by cpv) were not there before."""
    rows = [(package.cpv, _how(package, why)) for package in sorted(packages, key=attrgetter("cpv"))]
    width = max((len(cpv) for cpv, _ in rows), default=0)
    return HEADER + "".join(f"{cpv:{width}}  {how}\n" for cpv, how in rows)


def _how(package: Locked, why: Why) -> str:
    if package.cpv not in why:
        return "reused"
    made = f"fetched from {package.binhost}" if package.binhost else "built"
    return f"{made}: {words(why[package.cpv])}"
