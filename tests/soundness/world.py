"""What a mutation is given: the tree, edits that can be taken back, chance, and where the closure is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from quern.portage.plan import Plan
from tests.soundness.edits import Edits
from tests.soundness.tree import Tree

# how often a package of each zone is taken: most of a tree is far from any image
ZONES = {"closure": 0.5, "near": 0.3, "far": 0.2}


class World(NamedTuple):
    """See the module; `zones` are names of packages, `planned` the ebuilds of the plan."""

    tree: Tree
    zones: Mapping[str, Sequence[str]]
    planned: Sequence[Path]
    edits: Edits
    random: Random

    @property
    def main(self) -> Path:
        """The main repository."""
        return self.tree.repositories["gen"]

    def repository(self) -> Path:
        """One of them, the main one half the time."""
        return self.random.choice([self.main, self.main, *list(self.tree.repositories.values())[1:]])

    def name(self) -> str:
        """A package's name."""
        return self.random.choice(self.zones[self.random.choices(list(ZONES), list(ZONES.values()))[0]])

    def folder(self) -> Path:
        """A package's folder in one of the repositories that have it."""
        name = self.name()
        return self.random.choice([each / name for each in self.tree.repositories.values() if (each / name).is_dir()])

    def ebuild(self) -> Path:
        """An ebuild, a planned one somewhat more often."""
        if self.random.random() < 0.2:
            return self.random.choice(self.planned)
        return self.random.choice(sorted(self.folder().glob("*.ebuild")))

    def eclass(self) -> Path:
        """An eclass of any repository."""
        return self.random.choice([path for each in self.tree.repositories.values() for path in eclasses(each)])

    def atom(self) -> str:
        """A dependency, which may or may not be satisfied."""
        name = self.name()
        versions = [path.stem.removeprefix(f"{path.parent.name}-") for path in sorted(self.folder().glob("*.ebuild"))]
        version = self.random.choice(versions)
        forms = [name, name, name, f">={name}-{version}", f"<{name}-{version}", f"={name}-{version}", f"{name}:0"]
        return self.random.choice([*forms, f"{name}:=", f"{name}[nls(-)]", f"{name}::gen"])

    def edit(self, path: Path, text: str) -> None:
        """Write a file that is there, by another file or in place."""
        (self.edits.write if self.random.random() < 0.6 else self.edits.write_in_place)(path, text)

    def relative(self, path: Path) -> str:
        """A path as people want it."""
        return str(path.relative_to(self.tree.folder))


Mutation = Callable[[World], str | None]  # does it, and says what; None where that is not possible


def eclasses(repository: Path) -> list[Path]:
    """The eclasses of a repository."""
    return sorted((repository / "eclass").glob("*.eclass"))


def zones(tree: Tree, plan: Plan) -> dict[str, list[str]]:
    """Which packages are in the plan, which only named by an ebuild of a planned package or by those, and the rest."""
    closure = {package.name for package in (*plan.packages, *plan.host)}
    named = set(_named(tree, closure))
    near = (named | set(_named(tree, named))) - closure
    present = {name for name in tree.names if any((each / name).is_dir() for each in tree.repositories.values())}
    found = {"closure": closure, "near": near, "far": set(tree.names) - closure - near}
    return {zone: sorted(names & present) for zone, names in found.items()}


def _named(tree: Tree, names: set[str]) -> Iterator[str]:
    """The packages that an ebuild of one of `names` names."""
    for repository in tree.repositories.values():
        for name in sorted(names):
            for ebuild in sorted((repository / name).glob("*.ebuild")):
                yield from re.findall(r"[a-z]+-?[a-z]+/[a-z][a-z0-9]*(?:-[a-z]+[a-z0-9]*)*", ebuild.read_text())
