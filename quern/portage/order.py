"""The order in which a plan's packages are merged into the root, and its groups: what changes often comes last.

    dependencies ... | the profile's own packages | the last one of them

Every group is one run of emerge; after each but the last the root can be kept, and a later build begins there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, pairwise

from quern.portage.plan import Package

# A run of emerge costs about what one package does, even with one package in it; fewer packages than this before the
# first place to begin again would save less than every build from nothing pays for it.
FEWEST = 4

Group = tuple[Package, ...]


def groups(packages: Sequence[Package], own: Collection[str], first: Collection[str] = ()) -> list[Group]:
    """`packages` (a plan's, in its order) as one to three groups, dependencies first.

    `own` are the names (`category/package`) that people change most: those of them that need others come as late as
    what needs them allows. Packages that need each other stay together. Those named in `first` stand at the very
    beginning, with all they need.
    """
    skeleton = _with_needs(packages, first)
    rest = [package for package in packages if package not in skeleton]
    beginning = tuple(chain.from_iterable(_ordered(_Graph(skeleton, own))))
    parts = [*filter(None, [beginning]), *_ordered(_Graph(rest, own))]
    last = late = len(parts) - 1
    while late > 0 and _is_own(parts[late - 1], own) and parts[late - 1] != beginning:
        late -= 1
    cuts = [cut for cut in (late, last) if sum(map(len, parts[:cut])) >= FEWEST]
    bounds = [0, *dict.fromkeys(cuts), len(parts)]
    return [tuple(chain.from_iterable(parts[start:stop])) for start, stop in pairwise(bounds)]


def _with_needs(packages: Sequence[Package], names: Collection[str]) -> Group:
    """The packages with these names and all they need."""
    needs = _needs(packages)
    found = {package.id for package in packages if package.name in names}
    found.update(*(_reached(name, needs) for name in found))
    return tuple(package for package in packages if package.id in found)


def _is_own(part: Group, own: Collection[str]) -> bool:
    """Whether what stands together holds a package of one's own that needs others; a skeleton needs none."""
    members = {package.id for package in part}
    return any(package.name in own and not members.issuperset(package.run_deps) for package in part)


class _Graph:
    """What needs what at run time, between parts: packages, or circles of them."""

    def __init__(self, packages: Sequence[Package], own: Collection[str]) -> None:
        needs = _needs(packages)
        self.own = own
        self.reached = {name: _reached(name, needs) for name in needs}
        self.parts: dict[str, Group] = {}  # by the id of the first of its packages
        first: dict[str, str] = {}
        for package in packages:
            circle = (other for other in self.reached[package.id] if package.id in self.reached[other])
            first[package.id] = next((first[name] for name in circle if name in first), package.id)
            self.parts[first[package.id]] = (*self.parts.get(first[package.id], ()), package)
        self.needs = {
            part: {first[name] for package in members for name in needs[package.id]} - {part}
            for part, members in self.parts.items()
        }

    def rank(self, part: str) -> tuple[bool, int, str]:
        """The higher, the later."""
        members = self.parts[part]
        return _is_own(members, self.own), len(self.reached[part] - {each.id for each in members}), members[0].id


def _needs(packages: Sequence[Package]) -> dict[str, set[str]]:
    """What each of `packages` needs of them at run time, by id."""
    known = {package.id for package in packages}
    return {package.id: known.intersection(package.run_deps) for package in packages}


def _reached(name: str, needs: Mapping[str, Collection[str]]) -> set[str]:
    """Everything that `name` needs, and what that needs in turn."""
    found: set[str] = set()
    todo = list(needs[name])
    while todo:
        needed = todo.pop()
        if needed not in found:
            found.add(needed)
            todo += needs[needed]
    return found


def _ordered(graph: _Graph) -> list[Group]:
    return [graph.parts[part] for part in reversed(list(_from_the_last(graph)))]


def _from_the_last(graph: _Graph) -> Iterator[str]:
    """The parts, each after all that need it; of those that may come next the one with the highest rank."""
    dependants = dict.fromkeys(graph.parts, 0)
    for part in chain.from_iterable(graph.needs.values()):
        dependants[part] += 1
    while dependants:
        last = max((part for part, count in dependants.items() if count == 0), key=graph.rank)
        del dependants[last]
        for part in graph.needs[last]:
            dependants[part] -= 1
        yield last
