"""Why a package is built: what of all that it is built from is not as it was in the image's last build.

Two records of ingredients (see `keys`) in, changes out; `changes.phrases` has the words. Besides the kinds of changes
that a package itself has, there are

    new           it was not in the image
    lost          nothing changed, so its binary package was lost
    variable      of make.conf and the profile: CFLAGS; profile.bashrc counts as one,
                  and bashrc-sources, the files that it may source
    tool, portage, builder      of the place where it is built
    confinement   whether builds are confined there
    binhost       where else packages may come from
    quern         of how quern itself builds and writes packages
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

CONFINED = "confined"  # what a machine is that is not UNCONFINED
_COMPILER = re.compile(r".*/(?:lib|libexec)/gcc/.*|.*/(?:[^/]+-)?gcc(?:-[0-9.]+)?")


def reasons(before: Ingredients | None, after: Ingredients, name: str) -> list[Change]:
    """Why the package `name` (an id) of `after`, which has no binary package, has none; never empty.

    `before` are the ingredients of the image's last build, if there was one.
    """
    package = of_recipe(after.recipes[name])
    former = _former(before, package, is_for_host(name)) if before else None
    if before is None or former is None:
        return [Change("new", "", "", package.cpv)]
    found = [
        *changes(_described(before.recipes[former]), _described(after.recipes[name])),
        *of_mapping("variable", _variables(before), _variables(after)),
        *_of_machine(before.machine, after.machine),
        *_of_dependencies(before, former, after, name),
        *of_mapping("quern", {"": str(before.written)}, {"": str(after.written)}),
    ]
    return found or [Change("lost", "", package.cpv, "")]


def _former(before: Ingredients, package: Locked, on_host: bool) -> str | None:
    """The id of the package of the same name, of the same slot if there is one."""
    all_of = [(name, of_recipe(before.recipes[name])) for name in sorted(before.closures)]
    same = [each for each in all_of if each[1].name == package.name and is_for_host(each[0]) is on_host]
    same.sort(key=lambda each: each[1].slot.split("/")[0] != package.slot.split("/")[0])
    return same[0][0] if same else None


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
    return "tool", "gcc" if row.startswith("/") and _COMPILER.fullmatch(path) else path.rsplit("/", 1)[-1]


def _of_dependencies(before: Ingredients, former: str, after: Ingredients, name: str) -> Iterator[Change]:
    old, new = (
        [_described(each.recipes[other]) for other in each.behind(of)] for each, of in ((before, former), (after, name))
    )
    for was, now in pairs(old, new):
        why = tuple(changes(was, now)) if was and now else ()
        if why or not was or not now:
            item = now.name if now else was.name if was else ""
            yield Change("dependency", item, was.cpv if was else "", now.cpv if now else "", why)


def _joined(pairs: Iterable[tuple[Any, str]]) -> dict[Any, str]:
    """A mapping of the pairs, in which all values of one name are one text."""
    found: dict[Any, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: ", ".join(sorted(values)) for name, values in found.items()}
