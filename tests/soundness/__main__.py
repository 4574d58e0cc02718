"""Count misses: python -m tests.soundness --mutations 2000 --seed 1 [--trees 4] [--only N]."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.soundness.trials import Laboratory, Trial, summary

CHURN = 20  # mutations that make odd trees of the second half of the seeds


def main() -> int:
    """Run what the command line asks for; 1 if anything was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=2000, help="how many, over all trees")
    parser.add_argument("--seed", type=int, default=1, help="of the first tree; each further one has the next")
    parser.add_argument("--trees", type=int, default=4)
    parser.add_argument("--only", type=int, help="the one mutation of this number, of the tree of this seed")
    words = parser.parse_args()
    found: list[Trial] = []
    started = time.monotonic()
    for seed in range(words.seed, words.seed + (words.trees if words.only is None else 1)):
        numbers = range(words.mutations // words.trees) if words.only is None else range(words.only, words.only + 1)
        with tempfile.TemporaryDirectory() as folder:
            laboratory = Laboratory.open(Path(folder) / "project", seed, churn=CHURN * (seed % 4 > 1))
            try:
                for trial in laboratory.trials(numbers):
                    found.append(trial)
                    if trial.problems or words.only is not None:
                        report(seed, trial)
                    if len(found) % 100 == 0:
                        print(f"{len(found)} in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            finally:
                laboratory.close()
    print(summary(found))
    print(f"{len(found)} mutations in {time.monotonic() - started:.0f} s")
    return 1 if any(trial.problems for trial in found) else 0


def report(seed: int, trial: Trial) -> None:
    """Print a trial so that it can be done again."""
    print(f"--seed {seed} --only {trial.number}: {trial.kind}: {trial.what}", flush=True)
    print(f"    runs {trial.runs}, differs {trial.differs}: {'; '.join(trial.problems) or 'well'}", flush=True)
    if trial.error:
        print(f"    {trial.error[:300]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
