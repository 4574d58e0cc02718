"""What to tell the user where sources could not be had: file, package, every address with the reason, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quern.errors import display
from quern.fetching.sources import Fetched, Progress, Source, Unfetched
from quern.fetching.uris import Places

IN_FULL = 10  # files; of more than that, the rest in a line each

OFFLINE = """\
portage.offline = on, and these source files are not in {folder}:
{rows}
Put them there, or have them fetched: QUERN_PORTAGE_OFFLINE=off"""

INDEX_ANEW = """\
Make the index anew in the binhost: `emaint --fix binhost`; or take the binhost out of [portage] binhost, to build its
packages here."""


def offline(sources: Iterable[Source], folder: Path) -> str:
    """That nothing may be fetched, and what would have to be."""
    rows = []
    for source in sorted(sources, key=lambda each: (each.package.cpv, each.name)):
        other = f" (the file there {source.present})" if source.present else ""
        rows.append(f"  {source.name} of {source.package.cpv}{other}")
    return OFFLINE.format(folder=display(folder), rows="\n".join(rows))


def unfetched(failed: Sequence[Unfetched], places: Mapping[str, Places], folder: Path) -> str:
    """Why files could not be fetched, and what to do."""
    failed = sorted(failed, key=lambda each: (each.source.package.cpv, each.source.name))
    parts = [_one(each, places[each.source.name], folder) for each in failed[:IN_FULL]]
    rest = [f"{each.source.name} of {each.source.package.cpv} could not be fetched" for each in failed[IN_FULL:]]
    return "\n\n".join([*parts, *(["\n".join(rest)] if rest else [])])


def _one(failed: Unfetched, places: Places, folder: Path) -> str:
    source, attempts = failed
    what, path = f"{source.name} of {source.package.cpv}", folder / source.name
    is_other = source.present is not None or any(attempt.other for attempt in attempts)
    end = "is not the file that its Manifest describes" if is_other else "could not be fetched"
    lines = [f"{what} {end}"]
    if source.present:
        lines += [f"  {path} {source.present}", f"  the file that was there is left as it was: {path}"]
    lines += [f"  tried {attempt.url}: {attempt.why}" for attempt in attempts]
    lines += [f"  {problem}" for problem in places.problems]
    if not attempts and not places.problems:
        lines.append("  SRC_URI has no address of it")
    return "\n".join([*lines, _advice(source.name, is_other, bool(attempts), places)])


def _advice(name: str, is_other: bool, was_tried: bool, places: Places) -> str:
    if is_other:
        return f"Put the right {name} into the distfiles folder; if upstream changed it, the Manifest must follow."
    if not was_tried and places.unknown:
        return f"Name one: [portage] mirrors = {places.unknown[0]}=https://..."
    if not was_tried:
        return f"Correct the ebuild, or put {name} into the distfiles folder."
    return (
        f"Put {name} into the distfiles folder, name a mirror in [portage] mirrors, "
        "or check the network (http_proxy and https_proxy are obeyed)."
    )


def unfetched_packages(failed: Sequence[Unfetched]) -> str:
    """Why packages of a binhost could not be fetched, and what to do."""
    parts = []
    for source, attempts in sorted(failed, key=lambda each: each.source.package.cpv):
        is_other = any(attempt.other for attempt in attempts)
        end = "is not the file that the index of its binhost describes"
        end = end if is_other else "is in the index of a binhost, but cannot be had from it"
        lines = [f"{source.name.rpartition('/')[2]} of {source.package.cpv} {end}"]
        parts.append("\n".join([*lines, *(f"  tried {attempt.url}: {attempt.why}" for attempt in attempts)]))
    return "\n\n".join([*parts[:IN_FULL], INDEX_ANEW])


def progress(event: Progress) -> str:
    """How far a file is that takes long."""
    name, size = event.source.name.rpartition("/")[2], event.source.file.size
    return f"  {name}: {event.size / 1e6:.1f} of {size / 1e6:.1f} MB"


def put_aside(fetched: Fetched, folder: Path) -> str:
    """That a file was there which is another one, and what it is called now."""
    path = folder / fetched.source.name
    return (
        f"Warning: {path} is not what its Manifest describes; another was fetched, and that one is now {fetched.aside}"
    )
