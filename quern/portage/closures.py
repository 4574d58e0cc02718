"""What is in the place where each package of a plan is built.

    what P builds with     its build dependencies (DEPEND, BDEPEND), what is merged before all else, and, where the
                           libraries of a system are built with (SYSROOT=/), its run-time dependencies, for ROOT's
                           database
    the closure of P       all of these, each with what it needs to run (RDEPEND, PDEPEND, IDEPEND), and so on

Run-time dependencies may go round. One that leads to a package whose own build needs P is cut: of the two only P can be
built first. Which are cut depends on the dependencies alone, so that it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from quern.errors import BuildError

if TYPE_CHECKING:
    from quern.portage.plan import Package, Plan


class Closures(NamedTuple):
    """By id: what each package is built with, and what is cut from that, sorted; all ids in an order to build in."""

    inside: Mapping[str, list[str]]
    cut: Mapping[str, list[str]]
    order: list[str]


def closures(plan: Plan) -> Closures:
    """Find the closure of every package of `plan`. Raises BuildError if build dependencies go round."""
    packages = {package.id: package for package in (*plan.packages, *plan.host)}
    seeds = {name: _seeds(plan, package) for name, package in packages.items()}
    _add_first(plan, packages, seeds)
    whole = {name: _reached(name, seeds[name], packages) for name in packages}
    ring = _components(whole)
    inside, cut = dict[str, list[str]](), dict[str, list[str]]()
    for name, package in packages.items():
        later = {other for other in whole[name] if ring[other] == ring[name]}.difference(package.build_deps)
        inside[name] = sorted(_reached(name, seeds[name], packages, later) if later else whole[name])
        cut[name] = sorted(later)
    try:
        return Closures(inside, cut, list(TopologicalSorter(inside).static_order()))
    except CycleError as error:
        circle = " is built with ".join(name.lstrip("/") for name in reversed(error.args[1]))
        raise BuildError(f"build dependencies go round: {circle}") from None


def _reached(
    name: str, seeds: Iterable[str], packages: Mapping[str, Package], without: Collection[str] = ()
) -> list[str]:
    """The `seeds` and all that they need to run, but for `name` itself and what is `without`, in the order found."""
    found: dict[str, None] = {}
    todo = list(seeds)
    while todo:
        other = todo.pop()
        if other != name and other not in found and other not in without:
            found[other] = None
            todo += packages[other].run_deps
    return list(found)


def _seeds(plan: Plan, package: Package) -> list[str]:
    names = [*package.build_deps, *(package.run_deps if plan.system and not package.on_host else ())]
    return list(dict.fromkeys(name for name in names if name != package.id))


def _add_first(plan: Plan, packages: Mapping[str, Package], seeds: dict[str, list[str]]) -> None:
    """Have all packages be built with those that are merged first, except the dependencies of these."""
    first = [package.id for package in plan.packages if package.name in plan.first]
    needed, todo = set[str](), list(first)
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += [*seeds[name], *packages[name].run_deps]
    for name, package in packages.items():
        if name not in needed and not package.on_host:
            seeds[name] = list(dict.fromkeys([*seeds[name], *first]))


def _components(edges: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Number the strongly connected components of a graph, by node (Tarjan's algorithm, without recursion)."""
    index, low, component = dict[str, int](), dict[str, int](), dict[str, int]()
    path: list[str] = []
    for start in edges:
        calls = [] if start in index else [(start, iter(edges[start]))]
        while calls:
            node, rest = calls[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                path.append(node)
            for other in rest:
                if other not in index:
                    calls.append((other, iter(edges[other])))
                    break
                if other not in component:
                    low[node] = min(low[node], low[other])
            else:
                calls.pop()
                _close(node, index, low, component, path)
                if calls:
                    above = calls[-1][0]
                    low[above] = min(low[above], low[node])
    return component


def _close(
    node: str, index: Mapping[str, int], low: Mapping[str, int], component: dict[str, int], path: list[str]
) -> None:
    """Where `node` was the first of its component to be found, number all of it."""
    if low[node] == index[node]:
        while True:
            member = path.pop()
            component[member] = index[node]
            if member == node:
                return


def to_build(inside: Mapping[str, Iterable[str]], missing: Iterable[str], host: Iterable[str]) -> list[str]:
    """What is to be built (ids): the packages `missing`, and the missing `host` packages that they are built with."""
    absent = set(host)
    found = dict.fromkeys(missing)
    todo = list(found)
    while todo:
        new = [name for name in inside[todo.pop()] if name in absent and name not in found]
        found.update(dict.fromkeys(new))
        todo += new
    return list(found)
