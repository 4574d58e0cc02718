"""Measure quern against what one would do without it.

    python -m tests.benchmarks noop PROJECT TASK   a `doit TASK` with nothing to do, against doit with a trivial task
    python -m tests.benchmarks pack TREE           the tarball, against `tar | gzip -9`
    python -m tests.benchmarks root PROJECT IMAGE  the root, from nothing, against `emerge --usepkgonly` by hand
    python -m tests.benchmarks lab                 the same of packages of which half have phases; and roots of 100 and
                                                   of 500 packages, by the package
    python -m tests.benchmarks driver PROJECT TASK BUILDER
        a `doit TASK` from warm binary packages in containers of the image BUILDER, against the same on this machine
    python -m tests.benchmarks keys                the keys of 600 packages, against 100, by the package
    python -m tests.benchmarks graph PROJECT IMAGE ...
        the packages of images from source, in one run of doit, against a run for each
    python -m tests.benchmarks ten                 the same of ten images with a common base
    python -m tests.benchmarks trees               a no-op with a tree of Gentoo's size, against doit and a small tree

PROJECT is a folder with dodo.py; for noop TASK has been built there. The two sides take turns, so that a busy machine
slows both; the figures are medians. The daemon is that of DOCKER_HOST.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import seconds
from tests.benchmarks.driver import sides

TRIVIAL = """\
DOIT_CONFIG = {"backend": "json", "dep_file": ".doit.db"}
def task_trivial():
    return {"actions": ["touch out"], "file_dep": ["dodo.py"], "targets": ["out"]}
"""


def compare(name: str, ours: Callable[[], object], yardstick: Callable[[], object], rounds: int) -> None:
    """Print the medians of both and their ratio."""
    pairs = [(seconds(ours), seconds(yardstick)) for _ in range(rounds)]
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{name}: {mine:.3f} s, yardstick {theirs:.3f} s, ratio {mine / theirs:.2f} ({rounds} rounds)")


def doit(folder: Path, *tasks: str) -> str:
    """Run doit there; returns what it says."""
    argv = [sys.executable, "-m", "doit", *tasks]
    return subprocess.run(argv, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


def noop(project: Path, task: str, rounds: int) -> None:
    """A run in which every step is up to date."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder)
        (bare / "dodo.py").write_text(TRIVIAL)
        doit(bare)
        doit(project, task)
        said = doit(project, task).splitlines()
        if not said or any("-- " not in line for line in said):
            sys.exit("a step ran, nothing can be measured:\n" + "\n".join(said))
        compare(f"nothing to do for {task}", lambda: doit(project, task), lambda: doit(bare), rounds)


def pack(tree: Path, rounds: int) -> None:
    """The tarball of a tree."""
    checkout = str(Path(__file__).parents[2])
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from quern.packing import pack; "
        "from quern.drivers.raw import RawDriver; pack(RawDriver(), Path(sys.argv[2]), Path(sys.argv[3]), 'gzip', 0)"
    )
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "x.tar.gz"

        def ours() -> None:
            target.unlink(missing_ok=True)
            subprocess.run([sys.executable, "-c", code, checkout, str(tree), str(target)], check=True)

        def yardstick() -> None:
            script = 'tar --sort=name -cf - -C "$1" . | gzip -9 > "$2"'
            subprocess.run(["sh", "-c", script, "sh", str(tree), f"{target}.gnu"], check=True)

        compare(f"pack {tree}", ours, yardstick, rounds)
        sizes = target.stat().st_size, Path(f"{target}.gnu").stat().st_size
        print(f"size: {sizes[0]} bytes, yardstick {sizes[1]}, ratio {sizes[0] / sizes[1]:.3f}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int)
    commands = parser.add_subparsers(dest="command", required=True)
    of_noop = commands.add_parser("noop")
    of_noop.add_argument("project", type=Path)
    of_noop.add_argument("task")
    commands.add_parser("pack").add_argument("tree", type=Path)
    of_root = commands.add_parser("root")
    of_root.add_argument("project", type=Path)
    of_root.add_argument("image")
    commands.add_parser("lab")
    commands.add_parser("keys")
    commands.add_parser("ten")
    of_graph = commands.add_parser("graph")
    of_graph.add_argument("project", type=Path)
    of_graph.add_argument("images", nargs="+")
    of_driver = commands.add_parser("driver")
    of_driver.add_argument("project", type=Path)
    of_driver.add_argument("task")
    of_driver.add_argument("builder")
    of_trees = commands.add_parser("trees")
    of_trees.add_argument("--files", type=int, default=170_000)
    words = parser.parse_args()
    if words.command == "noop":
        noop(words.project, words.task, words.rounds or 20)
    elif words.command == "root":
        from tests.benchmarks.root import root  # imports quern, as the others do not

        root(words.project, words.image, words.rounds or 3)
    elif words.command == "lab":
        from tests.benchmarks.lab import lab  # imports quern, as the others do not

        lab(words.rounds or 3)
    elif words.command == "keys":
        from tests.benchmarks.keys import keys  # imports quern, as the others do not

        keys(words.rounds or 10)
    elif words.command in ("graph", "ten"):
        from tests.benchmarks.graph import graph, ten  # imports quern, as the others do not

        if words.command == "ten":
            ten()
        else:
            graph(words.project.resolve(), words.images)
    elif words.command == "driver":
        docker, raw = sides(words.project.resolve(), words.task, words.builder)
        compare(f"{words.task} in containers", docker, raw, words.rounds or 5)
    elif words.command == "trees":
        from tests.benchmarks.trees import trees  # imports quern, as the others do not

        trees(words.files, words.rounds or 10)
    else:
        pack(words.tree, words.rounds or 3)


if __name__ == "__main__":
    main()
