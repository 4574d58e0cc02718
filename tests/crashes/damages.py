"""One damage to what runs have left, and what the next runs make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import NamedTuple

from tests.crashes.bench import Bench
from tests.crashes.trials import wrong

LOCK = "lab.lock"  # the user's own: what is no lock is refused, and not replaced, until he removes it
FILES = (
    ".doit.db",
    LOCK,
    "build/binpkgs/lab/*.index",
    "build/binpkgs/lab/*.tar",
    "build/lab/*.digest",
    "build/lab/*.json",
    "build/lab/root/made.json",
    "build/lab/packages/root-plan.json",
    "build/lab/packages/ingredients.json",
    "build/lab/packages/ledger.txt",
    "build/lab/packages/packages.lock",
    "build/lab/packages/view/Packages",
    "build/lab/packages/view/lab/*/*.tar",
    "build/lab/packages/watch.json",
)
DAMAGES: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"\xff\x00" + content[::-1],
    "types": lambda content: b'{"format": 1, "key": 1, "digest": "x", "watched": [[1]], "made": 1, "recipes": 1}',
}
THEN = ("nothing", "root", "B")  # what else happens: nothing, the root is to be made anew, the inputs become B's
RUNS = 2  # until all is well; a step that finds the output of another one damaged can only say so


class Damage(NamedTuple):
    """Which files, in what way, and what the next run has to do besides."""

    files: str
    kind: str
    then: str

    def __str__(self) -> str:
        return ":".join(self)


def damages(number: int, seed: int) -> Iterator[Damage]:
    """So many."""
    random = Random(seed)
    for _ in range(number):
        yield Damage(random.choice(FILES), random.choice(list(DAMAGES)), random.choice(THEN))


def problems(bench: Bench, damage: Damage) -> list[str]:
    """Do it to all of A, and say what was wrong after the next runs."""
    bench.restore("portage")
    bench.give("B" if damage.then == "B" else "A")
    paths = list(bench.project.folder.glob(damage.files))
    assert paths
    for path in paths:
        damaged = DAMAGES[damage.kind](path.read_bytes())
        path.write_bytes(damaged)
    if damage.then == "root":
        (bench.work / "root.json").unlink()
    found = []
    for _ in range(RUNS):
        ended = bench.run("image")
        if "Traceback" in ended.output:
            found.append(f"a traceback: {ended.output[-2000:]}")
        if ended.status == 0:
            return found + wrong(bench, "B" if damage.then == "B" else "A")
        names = [str(place) for path in paths for place in (path, path.parent, path.parents[2])]
        if not any(name in ended.output for name in (*names, f" {LOCK}: " if damage.files == LOCK else names[0])):
            found.append(f"the file is not named: {ended.output[-2000:]}")
        if damage.files == LOCK:
            (bench.project.folder / LOCK).unlink()
    return [*found, f"still not well: {ended.output[-2000:]}"]
