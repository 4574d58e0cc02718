"""A mutation, what quern and the oracle say to it, and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.soundness import decision, ebuilds, metadata, profiles, unchanged
from tests.soundness.decision import Observation
from tests.soundness.edits import Edits
from tests.soundness.oracle import Answer, Oracle, inputs_of
from tests.soundness.tree import Tree, make_tree
from tests.soundness.world import Mutation, World, zones

KINDS: dict[str, tuple[float, Mutation]] = {**ebuilds.KINDS, **profiles.KINDS, **metadata.KINDS, **unchanged.KINDS}


class Trial(NamedTuple):
    """What came of one mutation.

    `runs`      quern would run packages
    `differs`   a fresh resolve, a key or an input of a planned package is not what it was
    `settled`   after the mutation was taken back, quern would run nothing
    `stale`     packages whose inputs differ and whose key does not
    `needless`  packages whose key differs and nothing that they are built from
    `inside`    the mutation is of a file that is an input of a planned package
    `missed_without`    which weaker decisions would have run nothing although something differs
    """

    number: int
    kind: str
    what: str
    runs: bool
    differs: bool
    settled: bool = True
    stale: tuple[str, ...] = ()
    needless: tuple[str, ...] = ()
    inside: bool = False
    missed_without: tuple[str, ...] = ()
    error: str = ""

    @property
    def problems(self) -> list[str]:
        """What must not be; empty if all is well."""
        found = {
            "missed": self.differs and not self.runs,
            "runs although nothing was changed": self.runs and self.kind in unchanged.NO_CHANGE,
            "differs although nothing was changed": self.differs and self.kind in unchanged.NO_CHANGE,
            "runs after it was taken back": not self.settled,
            f"stale keys of {', '.join(self.stale)}": bool(self.stale),
            f"needless keys of {', '.join(self.needless)}": bool(self.needless),
        }
        return [problem for problem, is_so in found.items() if is_so]


@dataclass
class Laboratory:
    """One generated project, resolved and observed; `weaker` are other decisions, that nothing is to be done."""

    tree: Tree
    seed: int
    oracle: Oracle
    base: Answer
    observation: Observation
    weaker: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    edits: Edits = field(default_factory=Edits)

    @classmethod
    def open(cls, folder: Path, seed: int, churn: int = 0, packages: int = 300) -> Laboratory:
        """Generate the project of `seed` below `folder`, let it grow old, resolve and observe it.

        `churn` is the number of mutations that stay: odd trees are made of them.
        """
        tree = make_tree(folder, seed, packages)
        oracle = Oracle(tree)
        base = _age(oracle, seed, churn)
        image = tree.image(tree.work)
        if seed % 2:  # recorded while Portage has its metadata cached, or while it reads every ebuild by bash
            decision.observe(image)
        return cls(tree, seed, oracle, base, decision.observe(image))

    def trials(self, numbers: Iterable[int]) -> Iterator[Trial]:
        """One trial for each number; the same number gives the same one."""
        world = _world(self.tree, self.base, self.edits)
        for number in numbers:
            yield self.trial(number, *_mutate(world._replace(random=Random(f"{self.seed} {number}"))))

    def trial(self, number: int, kind: str, what: str) -> Trial:
        """Judge a mutation that was done, and take it back."""
        inputs = {path for package in self.base.packages.values() for path in inputs_of(package)}
        inside = any(_is_of(path, inputs) for path in self.edits.paths)
        runs = not decision.unchanged(self.observation)
        weak = [name for name, is_same in self.weaker.items() if is_same()]
        now = self.oracle.answer()
        differs = now.differs(self.base)
        stale, needless = _keys(self.base, now)
        self.edits.revert()
        settled = decision.unchanged(self.observation)
        missed = tuple(weak) if differs else ()
        return Trial(number, kind, what, runs, differs, settled, stale, needless, inside, missed, now.error)

    def close(self) -> None:
        """End what was started."""
        self.oracle.close()


def _age(oracle: Oracle, seed: int, churn: int) -> Answer:
    """Do mutations that leave a solution, and forget how to take them back; gives the answer to what is left."""
    base = oracle.answer()
    assert base.plan, base.error
    for number in range(churn):
        edits = Edits()
        _mutate(_world(oracle.tree, base, edits, Random(f"churn {seed} {number}")))
        answer = oracle.answer()
        if answer.plan:
            base = answer
        else:
            edits.revert()
    return base


def _world(tree: Tree, base: Answer, edits: Edits, random: Random | None = None) -> World:
    assert base.plan
    planned = sorted({Path(package.ebuild) for package in base.packages.values()})
    return World(tree, zones(tree, base.plan), planned, edits, random or Random())


def _mutate(world: World) -> tuple[str, str]:
    """Do a mutation; gives its kind and what was done."""
    weights = [weight for weight, _ in KINDS.values()]
    while True:
        kind = world.random.choices(list(KINDS), weights)[0]
        what = KINDS[kind][1](world)
        if what is not None:
            return kind, what
        world.edits.revert()


def _is_of(path: Path, inputs: set[Path]) -> bool:
    """Whether a changed path is an input, above one or below one."""
    return any(path == each or path in each.parents or each in path.parents for each in inputs)


def _keys(before: Answer, after: Answer) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The packages of both plans whose key is stale, and those whose key differs for no reason."""
    if not (before.plan and after.plan):
        return (), ()
    stale, needless = [], []
    for cpv in sorted(before.keys.keys() & after.keys.keys()):
        one, two = _made_of(before, cpv), _made_of(after, cpv)
        if one == two and before.keys[cpv] != after.keys[cpv]:
            needless.append(cpv)
        if one != two and before.keys[cpv] == after.keys[cpv]:
            stale.append(cpv)
    return tuple(stale), tuple(needless)


def _made_of(answer: Answer, cpv: str) -> object:
    """Everything that a package is made of: content and flags of itself and of all behind it, and the variables."""
    assert answer.plan
    behind, todo = {cpv}, [cpv]
    while todo:
        new = [name for name in answer.plan.closures.inside[todo.pop()] if name not in behind]
        behind.update(new)
        todo += new
    found = [answer.packages[name] for name in sorted(behind)]
    parts = [
        (each.id, each.repository, each.slot, each.subslot, each.flags, each.iuse, answer.contents[each.id])
        for each in found
    ]
    return parts, dict(answer.plan.variables)


def summary(trials: Iterable[Trial]) -> str:
    """A table of kinds and counts."""
    rows: dict[str, Counter[str]] = {}
    for trial in trials:
        for name in (trial.kind, "ALL"):
            row = rows.setdefault(name, Counter())
            row["mutations"] += 1
            row["inside"] += trial.inside
            row["differs"] += trial.differs
            row["runs"] += trial.runs
            row["needless"] += trial.runs and not trial.differs
            row["missed"] += trial.differs and not trial.runs
            row["problems"] += bool(trial.problems)
    columns = ("mutations", "inside", "differs", "runs", "needless", "missed", "problems")
    lines = [f"{'':28}" + "".join(f"{column:>10}" for column in columns)]
    for name in sorted(rows, key=lambda name: (name == "ALL", name)):
        lines.append(f"{name:28}" + "".join(f"{rows[name][column]:>10}" for column in columns))
    return "\n".join(lines)
