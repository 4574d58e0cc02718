"""Why a package is built: what of all that it is built from is not as it was in the image's last build.

Two records of ingredients (see `keys`) in, changes out; `changes.phrases` has the words. Besides the kinds of changes
that a package itself has, there are

    new           it was not in the image
    lost          nothing changed, so its binary package was lost
    variable      of make.conf and the profile: CFLAGS; profile.bashrc counts as one,
                  and bashrc-sources, the files that it may source
    tool, library, portage, builder     of the place where it is built; the library is one of a tool's
    confinement   whether builds are confined there
    binhost       where else packages may come from
    quern         of how quern itself builds packages: its release
    compression   of what compresses them
    dependency    that it is built with; `why` says what changed of it
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quern.portage.binhost import public
from quern.portage.changes import Change, changes, of_mapping, pairs
from quern.portage.keys import UNCONFINED, Ingredients, is_confined, is_for_host
from quern.portage.lockfile import Locked, of_recipe

SHOWING = ("version", "repository", "slot", "use", "ebuild")  # changes that the package itself shows: it has its ebuild
CONFINED = "confined"  # what a machine is that is not UNCONFINED
_LIBRARY = re.compile(r"/.*/[^/]+\.so(?:\.[^/]*)?")
_COMPILER = re.compile(r".*/(?:lib|libexec)/gcc/.*|.*/(?:[^/]+-)?gcc(?:-[0-9.]+)?")


class Reasons:
    """What changed from the ingredients of the image's last build, if there was one, to those of the next."""

    def __init__(self, before: Ingredients | None, after: Ingredients) -> None:
        self._sides = [_Side(each) for each in (before, after) if each]
        self._of_all = [] if before is None else list(_of_all(before, after))
        self._known: dict[tuple[int, int], tuple[Change, ...]] = {}  # by the two descriptions of a dependency

    def of(self, name: str) -> list[Change]:
        """Why the package `name` (an id) of the next build, which has no binary package, has none; never empty."""
        after = self._sides[-1]
        package = after.packages[name]
        if len(self._sides) == 1 or (former := self._sides[0].same(package, is_for_host(name))) is None:
            return [Change("new", "", "", package.cpv)]
        before = self._sides[0]
        found = [
            *changes(before.packages[former], package),
            *of_mapping("variable", before.variables, after.variables),
            *_of_machine(before.machine(former), after.machine(name)),
            *self._of_dependencies(before, former, after, name),
            *self._of_all,
        ]
        return found or [Change("lost", "", package.cpv, "")]

    def _of_dependencies(self, before: _Side, former: str, after: _Side, name: str) -> Iterator[Change]:
        old, new = ([side.packages[each] for each in side.behind[of]] for side, of in ((before, former), (after, name)))
        for was, now in pairs(old, new):
            why = self._of_dependency(before, was, after, now) if was and now else ()
            if why or not was or not now:
                item = now.name if now else was.name if was else ""
                yield Change("dependency", item, was.cpv if was else "", now.cpv if now else "", why)

    def _of_dependency(self, before: _Side, was: Locked, after: _Side, now: Locked) -> tuple[Change, ...]:
        """What changed of one dependency; many packages have it."""
        both = (id(was), id(now))  # the descriptions live as long as this
        if both not in self._known:
            self._known[both] = (*changes(was, now), *_of_tools(before, was.cpv, after, now.cpv))
        return self._known[both]


def may_be_kept(found: Mapping[str, Iterable[Change]], inside: Mapping[str, Iterable[str]]) -> set[str]:
    """Of the packages of `found` (ids) with the reasons why they have no binary package, those that may be kept.

    They are if what they are built with (`inside`) turns out to have the same content as before.
    """
    others = {name for name, changes in found.items() if any(change.kind in SHOWING for change in changes)}
    return {
        name
        for name, changes in found.items()
        if all(change.kind == "dependency" and change.why for change in changes) and others.isdisjoint(inside[name])
    }


class _Side:
    """The ingredients of one of the two builds, read once: `packages` are described by id."""

    def __init__(self, ingredients: Ingredients) -> None:
        self.ingredients = ingredients
        self.packages = {name: _described(recipe) for name, recipe in ingredients.recipes.items()}
        self.variables = _variables(ingredients)
        self.behind = ingredients.behind()
        self._by_name: dict[tuple[str, bool], list[str]] = {}
        for name in sorted(ingredients.closures):
            self._by_name.setdefault((self.packages[name].name, is_for_host(name)), []).append(name)

    def same(self, package: Locked, on_host: bool) -> str | None:
        """The id of the package of the same name, of the same slot if there is one."""
        found = self._by_name.get((package.name, on_host), [])
        slot = package.slot.split("/")[0]
        return min(found, key=lambda name: self.packages[name].slot.split("/")[0] != slot, default=None)

    def machine(self, name: str) -> list[str]:
        """What identifies the place where the package is built, with all tools that it may use."""
        return [*self.ingredients.machine, *self.tools(name)]

    def tools(self, name: str) -> list[str]:
        """What identifies the tools that it may use and not all may."""
        return self.ingredients.tools.get(name, [])


def _described(recipe: Mapping[str, Any]) -> Locked:
    """The package, with the flags of the profile that are not in its IUSE."""
    package = of_recipe(recipe)
    implicit = [flag for flag in recipe["flags"] if flag not in recipe["iuse"]]
    return package._replace(use=(*package.use, *implicit))


def _variables(ingredients: Ingredients) -> dict[str, str]:
    """By name; of files of the profile, which have the number of its folder, all as one."""
    return _joined((name.split()[0], f"{name} {value}") for name, value in ingredients.variables.items())


def _of_machine(before: Iterable[str], after: Iterable[str]) -> Iterator[Change]:
    """The changes of what `Setup.machine_identity` gives, and of binhosts."""
    old, new = (_joined((_kind_and_item(row), row) for row in _with_confinement(rows)) for rows in (before, after))
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    found = [Change(name[0], name[1], old.get(name, ""), new.get(name, "")) for name in names]
    builder = [change for change in found if change.kind == "builder"]
    yield from builder or found  # another builder has other tools, or none of ours


def _with_confinement(rows: Iterable[str]) -> list[str]:
    """The rows of a machine, with one that says whether builds are confined there in either case."""
    found = [*rows]
    return [*found, CONFINED] if is_confined(found) else found


def _kind_and_item(row: str) -> tuple[str, str]:
    """What a row is about: `PATH SIZE TIME` and `NAME DIGEST` are tools, one word is Portage or the builder image."""
    if row.startswith("binhost "):
        return "binhost", public(row.split()[1])
    if row == CONFINED or row.startswith(UNCONFINED):
        return "confinement", ""
    if " " not in row:
        return ("builder" if row.startswith("sha256:") else "portage"), ""
    path = row.rsplit(" ", 2)[0] if row.startswith("/") else row.split()[0]
    if _LIBRARY.fullmatch(path):
        return "library", path.rsplit("/", 1)[-1]
    return "tool", "gcc" if row.startswith("/") and _COMPILER.fullmatch(path) else path.rsplit("/", 1)[-1]


def _of_tools(before: _Side, former: str, after: _Side, cpv: str) -> Iterator[Change]:
    """The changes of the tools that a dependency may use and not all may, for the image or for the host side."""
    old, new = ([*side.tools(name), *side.tools(f"/{name}")] for side, name in ((before, former), (after, cpv)))
    return (change for change in _of_machine(old, new) if change.kind in ("tool", "library"))


def _of_all(before: Ingredients, after: Ingredients) -> Iterator[Change]:
    """The changes of how quern makes packages."""
    (version, *compression), (new_version, *new_compression) = before.written, after.written
    if version != new_version:
        yield Change("quern", "", before.quern, after.quern)
    if compression != new_compression:
        yield Change("compression", "", str(compression), str(new_compression))


def _joined(pairs: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    """A mapping of the pairs, in which all values of one name are one text."""
    found: dict[Any, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: ", ".join(sorted(values)) for name, values in found.items()}
