"""What is not as it was, in Gentoo's words: `sys-libs/zlib 1.2.13 -> 1.3`, `dev-lang/python USE +sqlite -readline`."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from quern.portage.lockfile import Locked

_NAMED = 5  # packages, or other things, that are named of many


class Change(NamedTuple):
    """One difference between two descriptions of a package; empty texts stand for what is not there.

    `kind` is one of version, repository, slot, use, ebuild, files, eclass, distfile, or of those in `reasons`; `item`
    names the flag, the eclass, the distfile. Of a flag `before` and `after` are + or -, of files their digests. `why`
    says what changed of the item, where that is a package.
    """

    kind: str
    item: str
    before: str
    after: str
    why: tuple[Change, ...] = ()


def moves(
    before: Iterable[Locked], after: Iterable[Locked], place: Callable[[str, str], str] = lambda name, flag: ""
) -> list[str]:
    """What is not the same in two locks, a line a package; nothing if they say the same of what is built.

    `place` is asked which FILE:LINE a package (without flag), or a flag of one, comes from; empty if none is known.
    """
    matched = list(pairs(before, after))
    both = [(new.name, changes(old, new)) for old, new in matched if old and new]
    eclasses: dict[Change, list[str]] = {}
    for name, found in both:
        for change in found:
            if change.kind == "eclass" and change.before and change.after:
                eclasses.setdefault(change, []).append(name)
    shared = {change: names for change, names in eclasses.items() if len(names) > 1}
    own = [(name, [change for change in found if change not in shared]) for name, found in both]
    lines = [f"{name} {words(found)}{_places(name, found, place)}" for name, found in own if found]
    lines += [f"{_phrase(change)} ({_listed(names)})" for change, names in sorted(shared.items())]
    lines += [f"+ {new.cpv}{_in_brackets([place(new.name, '')])}" for old, new in matched if new and not old]
    return lines + [f"- {old.cpv}" for old, new in matched if old and not new]


def _places(name: str, found: Iterable[Change], place: Callable[[str, str], str]) -> str:
    return _in_brackets([place(name, change.item) for change in found if change.kind == "use"])


def _in_brackets(places: Iterable[str]) -> str:
    known = list(dict.fromkeys(filter(None, places)))
    return f" ({', '.join(known)})" if known else ""


def changes(before: Locked, after: Locked) -> list[Change]:
    """What is not the same in two descriptions of one package. Of another version, files are others anyway."""
    whole = [("version", before.version, after.version)]
    whole += [("repository", before.repository, after.repository), ("slot", before.slot, after.slot)]
    flags = [{flag.removeprefix("-"): "-" if flag[0] == "-" else "+" for flag in each.use} for each in (before, after)]
    found = [Change(kind, "", old, new) for kind, old, new in whole if old != new]
    found += of_mapping("use", *flags)
    distfiles = list(of_mapping("distfile", before.distfiles, after.distfiles))
    if before.version != after.version:
        return found + [change for change in distfiles if change.before and change.after]
    digests = [{"ebuild": each.ebuild, "files": each.files} for each in (before, after)]
    found += [change._replace(kind=change.item, item="") for change in of_mapping("", *digests)]
    return [*found, *of_mapping("eclass", before.eclasses, after.eclasses), *distfiles]


def pairs(before: Iterable[Locked], after: Iterable[Locked]) -> Iterator[tuple[Locked | None, Locked | None]]:
    """Each package of the one with that of the other, by name: the same slot first, then what is left, in order."""
    names: dict[str, tuple[list[Locked], list[Locked]]] = {}
    for side, packages in enumerate((before, after)):
        for package in sorted(packages, key=operator.attrgetter("cpv")):
            names.setdefault(package.name, ([], []))[side].append(package)
    for _, (old, new) in sorted(names.items()):
        for package in list(old):
            if same := next((each for each in new if _main_slot(each) == _main_slot(package)), None):
                old.remove(package)
                new.remove(same)
                yield package, same
        yield from zip_longest(old, new)


def of_mapping(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    """The changes of things that have names, by name."""
    for name in sorted({*before, *after}):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            yield Change(kind, name, old, new)


def words(changes: Iterable[Change]) -> str:
    """The changes of one package as one phrase: `1.2.13 -> 1.3, USE +sqlite -readline`."""
    return ", ".join(phrases(changes))


def phrases(changes: Iterable[Change]) -> list[str]:
    """The changes of one package in words, all flags as one phrase."""
    changes = list(changes)
    flags = [change for change in changes if change.kind == "use"]
    real = [flag for flag in flags if "+" in (flag.before, flag.after)]
    new = [flag for flag in flags if flag not in real]
    told = [f"{name} {' '.join(sorted(map(_flag, some)))}" for name, some in (("USE", real), ("IUSE", new)) if some]
    whole = [_phrase(change) for change in changes if change.kind in _OF_ALL]
    rest = [change for change in changes if change.kind not in (*_OF_ALL, "use")]
    return [
        *whole,
        *told,
        *chain.from_iterable(_some(kind, rest) for kind in dict.fromkeys(each.kind for each in rest)),
    ]


def _flag(change: Change) -> str:
    """A flag with its sign; that of one that was or is off, and not even a flag on the other side, says which."""
    came = change.after == "+" or (change.before == "" and change.after == "-")
    return f"{'+' if came else '-'}{change.item}"


def _some(kind: str, changes: Iterable[Change]) -> list[str]:
    """The changes of one kind; of a great many, the first."""
    found = [_phrase(change) for change in changes if change.kind == kind]
    more = len(found) - _NAMED
    return [*found[:_NAMED], f"{more} more {_MANY.get(kind, f'{kind}s')}"] if more > 0 else found


_MANY = {"dependency": "dependencies", "library": "libraries of this machine"}
_OF_ALL = ("version", "repository", "slot")
_WHOLE = {"new": "no binary package yet", "lost": "its binary package is gone or damaged"}
_NAMES = {
    "ebuild": "ebuild",
    "files": "files/",
    "eclass": "eclass {}",
    "distfile": "DIST {}",
    "variable": "{}",
    "tool": "tool {}",
    "library": "{} of this machine",
    "portage": "Portage",
    "builder": "builder image",
    "confinement": "confinement",
    "binhost": "binhost {}",
    "quern": "quern",
    "compression": "how packages are compressed",
    "dependency": "dependency {}",
}


def _phrase(change: Change) -> str:
    if change.kind == "version":
        return f"{change.before} -> {change.after}"
    if change.kind == "quern" and change.before != change.after:
        return f"quern {change.before} -> {change.after}"
    if change.kind in _OF_ALL:
        return f"{change.kind} {change.before} -> {change.after}"
    if change.kind in _WHOLE:
        return _WHOLE[change.kind]
    name = _NAMES[change.kind].format(change.item)
    if change.why:
        return f"{name} ({words(change.why)})"
    return f"{name} {'changed' if change.before and change.after else 'added' if change.after else 'removed'}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"of {len(names)} packages: {', '.join(names[:_NAMED])}{more}"


def _main_slot(package: Locked) -> str:
    return package.slot.split("/")[0]
