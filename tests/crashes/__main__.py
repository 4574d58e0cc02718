"""Count wrong results after kills: python -m tests.crashes --changes 50 --moments 60 --seed 1 [--only CUT ...]."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.crashes.bench import NAMES, Bench, mounted
from tests.crashes.damages import damages, problems
from tests.crashes.trials import Cut, cuts, run, summary


def main() -> int:
    """Run what the command line asks for; 1 if anything was wrong."""
    words = _words()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir=words.folder) as folder, mounted(Path(folder)):
        bench = Bench(Path(folder))
        print(f"changes of the file system: {bench.lengths}", flush=True)
        mixed = cuts(bench.lengths, words.changes, words.moments, words.full, words.seed)
        chosen = map(Cut.of, words.only) if words.only else mixed
        done = run([cut for cut in chosen if cut.step in (words.step or NAMES)], bench, words.minutes * 60)
        print(summary(done))
        print(f"{len(done)} cuts in {time.monotonic() - started:.0f} s", flush=True)
        bad = 0
        for damage in damages(words.damages, words.seed):
            found = problems(bench, damage)
            bad += bool(found)
            print("".join(f"{damage}: {problem}\n" for problem in found), end="", flush=True)
    print(f"{words.damages} damages; {bad} wrong in all")
    return 1 if bad or any(trial.problems for trial in done) else 0


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=50, help="end at so many changes of the files in each step")
    parser.add_argument("--moments", type=int, default=60, help="and at so many moments by the clock")
    parser.add_argument("--full", type=int, default=0, help="and with so many full disks; needs root")
    parser.add_argument("--damages", type=int, default=0, help="and after so many damages to what was made")
    parser.add_argument("--seed", type=int, default=1, help="of which changes, which signals, and what follows")
    parser.add_argument("--minutes", type=float, default=600, help="begin no more cuts after so long")
    parser.add_argument("--step", action="append", choices=NAMES, help="of these steps alone")
    parser.add_argument("--only", action="append", help="this cut, as it is printed: STEP:CHANGE:KILL:back")
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary folder")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
