"""A project with a Gentoo-sized tree: what a `doit` with nothing to do costs, and whether the tree's size matters.

The tree is that of the tests' Lab with as many more packages around it as Gentoo has; nothing but the Lab's are ever
built. Each figure is the median of rounds in which all the commands take turns.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks import seconds
from tests.benchmarks.__main__ import TRIVIAL, doit
from tests.projects import write
from tests.test_emerging import TREE, ebuild

CHECKOUT = Path(__file__).parents[2]
SMALL = 1000  # files in the tree that a large one is compared with
PER_PACKAGE = 9  # files: three ebuilds with their cached metadata, Manifest, metadata.xml, a patch
PER_CATEGORY = 110  # packages
LINKS = 30_000  # names of one file; ext4 allows 65,000
SYNCED = 5000  # unrelated files that a sync brings
CONFIGURATION = (
    "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\ncompression = gzip\n[postbuild]\nengines = none\n"
)
CACHES = Path("/proc/sys/vm/drop_caches")  # proc(5)


def trees(files: int, rounds: int) -> None:
    """Print a table of a large tree with 1 and with 100 images, and a small tree, against bare doit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small, many = (folder / each for each in ("large", "small", "many"))
        print(f"a tree of {make_tree(large / 'tree', files)} files", flush=True)
        make_tree(small / "tree", SMALL)
        many.mkdir()
        (many / "tree").symlink_to(large / "tree")
        for project, images in ((large, 1), (small, 1), (many, 100)):
            make_project(project, images)
        bare = write(folder / "bare", {"dodo.py": TRIVIAL})
        doit(bare)
        time.sleep(3)  # what was changed a moment ago is not yet judged by its times
        for project in (large, small, many):
            doit(project, "image:image0")
            expect_nothing_to_do(project)
        no_op(large, small, many, bare, rounds)
        print(f"peak memory of a no-op: {peak_memory(large):.0f} MB, with 100 images {peak_memory(many):.0f} MB")
        after_sync(large)
        cold(large, bare)


def make_tree(folder: Path, files: int) -> int:
    """Write the Lab's repository and fill it up to so many files; returns how many there are."""
    write(folder, TREE)
    count, contents = len(TREE), _contents(folder.parent / "contents")
    categories = list[str]()
    while count < files:
        category = f"cat-{len(categories):03}"
        categories.append(category)
        for number in range(min(PER_CATEGORY, -(-(files - count) // PER_PACKAGE))):
            _make_package(folder, category, f"package{number:03}", contents)
            count += PER_PACKAGE
    write(folder, {"profiles/categories": "".join(f"{name}\n" for name in ["lab", *categories])})
    return count


def _contents(file: Path) -> Iterator[Path]:
    """A file to link to; another one when too many have."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file.unlink(missing_ok=True)
        file.write_text(ebuild())
        for _ in range(LINKS):
            yield file


def _make_package(folder: Path, category: str, name: str, contents: Iterator[Path]) -> None:
    versions = [f"{name}-{number}" for number in (1, 2, 3)]
    package, cache = folder / category / name, folder / "metadata/md5-cache" / category
    (package / "files").mkdir(parents=True)
    cache.mkdir(parents=True, exist_ok=True)
    for path in (
        *(package / f"{version}.ebuild" for version in versions),
        *(cache / version for version in versions),
        package / "Manifest",
        package / "metadata.xml",
        package / "files/fix.patch",
    ):
        os.link(next(contents), path)


def make_project(folder: Path, images: int) -> None:
    """Write a project of so many images, all alike."""
    shutil.copyfile(CHECKOUT / "dodo.py", folder / "dodo.py")
    for number in range(images):
        write(folder / f"profiles/image{number}", {"quern.conf": CONFIGURATION})


def expect_nothing_to_do(project: Path) -> None:
    """Exit unless every step of the image is up to date."""
    said = doit(project, "image:image0").splitlines()
    if not said or any("-- " not in line for line in said):
        sys.exit("a step ran, nothing can be measured:\n" + "\n".join(said))


def no_op(large: Path, small: Path, many: Path, bare: Path, rounds: int) -> None:
    """A run with nothing to do, and a list of the tasks, against bare doit."""
    for tasks in (["image:image0"], ["list"]):
        actions: dict[str, Callable[[], object]] = {
            "a large tree": partial(doit, large, *tasks),
            "a small tree": partial(doit, small, *tasks),
            "a large tree, 100 images": partial(doit, many, *tasks),
            "bare doit": partial(doit, bare, *(tasks if tasks == ["list"] else [])),
        }
        medians = turns(actions, rounds)
        print(f"doit {' '.join(tasks)} ({rounds} rounds)")
        for name, median in medians.items():
            print(f"  {name:26} {median:.3f} s, ratio {median / medians['bare doit']:.2f}")
        print(f"  large against small: ratio {medians['a large tree'] / medians['a small tree']:.2f}", flush=True)


def turns(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median time of each action in seconds."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            times[name].append(seconds(action))
    return {name: statistics.median(column) for name, column in times.items()}


def peak_memory(project: Path) -> float:
    """The most memory (megabytes resident) that a run with nothing to do takes."""
    argv = [sys.executable, "-m", "doit", "image:image0"]
    process = subprocess.Popen(argv, cwd=project, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / 1000


def after_sync(project: Path) -> None:
    """The first run after a sync: thousands of unrelated files are others, all of the image's were written again."""
    replaced = 0
    for path in sorted((project / "tree").glob("cat-*/*/*"))[: SYNCED * 2 : 2]:
        if path.is_file():
            path.unlink()
            path.write_text(f"# {replaced}\n")
            replaced += 1
    for path in [path for part in ("lab", "profiles/image") for path in (project / "tree" / part).rglob("*")]:
        if path.is_file():
            text = path.read_text()
            path.unlink()
            path.write_text(text)
    first, second = (seconds(lambda: expect_nothing_to_do(project)) for _ in range(2))
    print(f"after a sync of {replaced} other files: first run {first:.3f} s, second {second:.3f} s", flush=True)


def cold(project: Path, bare: Path, rounds: int = 3) -> None:
    """A run with nothing to do with nothing in the kernel's caches."""

    def dropped(action: Callable[[], object]) -> float:
        os.sync()
        CACHES.write_text("3\n")
        return seconds(action)

    try:
        pairs = [(dropped(lambda: doit(project, "image:image0")), dropped(lambda: doit(bare))) for _ in range(rounds)]
    except OSError as error:
        print(f"cold caches: not measured, {CACHES} cannot be written: {error.strerror}")
        return
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"cold caches: {ours:.3f} s, bare doit {theirs:.3f} s, ratio {ours / theirs:.2f} ({rounds} rounds)")
