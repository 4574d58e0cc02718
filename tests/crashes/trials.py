"""One cut: a run towards B is ended in one step, the inputs go back to A or stay, and the next run has to be right."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from random import Random
from time import monotonic
from typing import NamedTuple

from quern.steps import receipt as receipts
from quern.steps.base import is_current
from quern.worker.trees import digest
from tests.building import CHECKOUT, built
from tests.crashes.bench import NAMES, Bench

SIGNS = ("KILL", "TERM", "INT")


class Cut(NamedTuple):
    """How a run is ended in `step`, and whether the inputs then go back.

    By a signal at its change number `at`, or after `at` thousandths of the time it takes (`unit` "s"); or, without a
    signal, for want of room: `at` kibibytes are free (`unit` "k").
    """

    step: str
    at: int
    unit: str
    sign: str
    back: bool

    def __str__(self) -> str:
        return f"{self.step}:{self.at}{self.unit}:{self.sign}:{'back' if self.back else 'on'}"

    @classmethod
    def of(cls, text: str) -> Cut:
        """The cut that is written so."""
        step, when, sign, then = text.split(":")
        return cls(step, int(when.rstrip("sk")), when.lstrip("0123456789"), sign, then == "back")


class Trial(NamedTuple):
    """What came of a cut: whether the run was ended by it, and what was wrong then."""

    cut: Cut
    ended: bool
    problems: list[str]


def cuts(lengths: Mapping[str, int], changes: int, timed: int, full: int, seed: int) -> list[Cut]:
    """At so many changes of each step, or all; at so many moments by the clock, and for so many full disks.

    Signals and what follows are mixed, and so are all cuts.
    """
    random, found = Random(seed), list[Cut]()
    for step, length in lengths.items():
        for at in random.sample(range(1, length + 1), min(changes, length)):
            found.append(Cut(step, at, "", random.choices(SIGNS, (4, 1, 1))[0], random.random() < 0.5))
    for _ in range(timed):
        step = random.choices(list(lengths), (1, 4, 4, 1, 1, 1))[0]
        found.append(Cut(step, random.randrange(1000), "s", random.choice(SIGNS), random.random() < 0.5))
    for number in range(full):
        step = list(lengths)[number % len(lengths)]
        found.append(Cut(step, 4 * random.choice((0, 1, 2, 4, 8, 16, 64, 128)), "k", "FULL", random.random() < 0.5))
    return random.sample(found, len(found))


def trial(bench: Bench, cut: Cut) -> Trial:
    """Do it, and judge."""
    bench.restore(cut.step)
    problems = []
    if cut.unit == "k":
        with bench.nearly_full(cut.at << 10):
            ended = bench.run(cut.step)
        if ended.status and not re.search(r"/\S+: No space left on device|on a larger disk", ended.output):
            problems.append(f"that the disk is full, and which, is not said: {ended.output[-2000:]}")
    else:
        at, after = (cut.at, None) if cut.unit == "" else (0, bench.seconds[cut.step] * cut.at / 1000)
        ended = bench.run(cut.step, at, signal.Signals[f"SIG{cut.sign}"], after)
    # one for Ctrl-C that comes before doit has imported anything of quern's is Python's and doit's own
    if "Traceback" in ended.output and f'File "{CHECKOUT}/quern/' in ended.output:
        problems.append(f"a traceback: {ended.output[-2000:]}")
    if cut.back:
        bench.give("A")
    kept, stored = _finished(bench, cut), _stored(bench)
    after_that = bench.run("image")
    if after_that.status != 0:
        return Trial(cut, ended.status != 0, [*problems, f"the next run fails: {after_that.output[-2000:]}"])
    problems += wrong(bench, "A" if cut.back else "B")
    problems += [f"{step} was made again" for step, inode in kept.items() if _inode(bench, step) != inode]
    problems += [f"{cpv} was built again" for cpv in built(after_that.output) if cpv in stored]
    return Trial(cut, ended.status != 0, problems)


def _finished(bench: Bench, cut: Cut) -> dict[str, int]:
    """The steps that are as the next run is to have them, with their outputs' inodes: none of them may run."""
    place = NAMES.index(cut.step)
    finished = NAMES[place + 1 :] if cut.back else NAMES[:place]
    receipt = receipts.read(bench.work / f"{cut.step}.json")
    if receipt and (receipt.key == bench.keys[cut.step]) == cut.back:
        finished = (*finished, cut.step)
    return {step: _inode(bench, step) for step in finished}


def _inode(bench: Bench, step: str) -> int:
    return (bench.work / step).stat().st_ino


def _stored(bench: Bench) -> set[str]:
    """The packages of which the store has every key that there was: `category/package-version`."""
    names = [path.relative_to(path.parents[1]) for path in (bench.work.parent / "binpkgs").glob("lab/*.index")]
    count = Counter(re.sub(r"-[0-9a-f]{32}\.index$", "", str(name)) for name in names)
    return {cpv for cpv, number in count.items() if number > ("tool" in cpv)}


def wrong(bench: Bench, state: str) -> list[str]:
    """What is not as it must be after a run with the inputs of `state`."""
    found, expected = bench.result(), bench.expected[state]
    wrong = [
        f"{name} is {found.get(name)}, expected {expected.get(name)}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
    for step in bench.steps:
        receipt = receipts.read(step.place.receipt)
        if receipt is None or not is_current(step):
            wrong.append(f"{step.name} is not up to date")
        elif digest(str(step.place.output))["digest"] != receipt.info["tree"]:
            wrong.append(f"{step.place.output} is not what its receipt says")
    return wrong


def run(chosen: Iterable[Cut], bench: Bench, seconds: float) -> list[Trial]:
    """As many of them as time allows; what goes wrong is printed at once, so that it can be done again."""
    done, deadline = list[Trial](), monotonic() + seconds
    for cut in chosen:
        if monotonic() > deadline:
            break
        done.append(trial(bench, cut))
        for problem in done[-1].problems:
            print(f"--only {cut}: {problem}", flush=True)
        if len(done) % 20 == 0:
            print(f"{len(done)} done", file=sys.stderr, flush=True)
    return done


def summary(trials: Iterable[Trial]) -> str:
    """A table of steps and counts."""
    rows: dict[str, Counter[str]] = {}
    for trial in trials:
        for name in (trial.cut.step, "ALL"):
            row = rows.setdefault(name, Counter())
            row["cuts"] += 1
            row["ended"] += trial.ended
            row[trial.cut.sign] += trial.ended
            row["back"] += trial.ended and trial.cut.back
            row["wrong"] += bool(trial.problems)
    columns = ("cuts", "ended", *SIGNS, "FULL", "back", "wrong")
    lines = [f"{'':10}" + "".join(f"{column:>9}" for column in columns)]
    for name in sorted(rows, key=_place):
        lines.append(f"{name:10}" + "".join(f"{rows[name][column]:>9}" for column in columns))
    return "\n".join(lines)


def _place(name: str) -> int:
    return NAMES.index(name) if name in NAMES else len(NAMES)
