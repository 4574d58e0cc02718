"""Whatever ends a run, and whenever, the next one finishes the work, with the right bytes and nothing made twice.

A sample of what `python -m tests.crashes` does at length; `--only` with what is printed does one again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import CHECKOUT, built
from tests.conftest import needs_root, tool
from tests.crashes.bench import NAMES, Bench, mounted
from tests.crashes.damages import Damage, problems
from tests.crashes.trials import Cut, Trial, cuts, summary, trial, wrong
from tests.projects import write
from tests.test_emerging import TREE, ebuild

pytestmark = pytest.mark.emerge


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A project that goes from A to B; on a disk of its own where we are root."""
    tool("scanelf", "pax-utils")
    with mounted(tmp_path_factory.mktemp("bench")) as folder:
        yield Bench(folder)


def well(trials: list[Trial]) -> None:
    """Nothing may be wrong; of several runs one may be over before, where Portage read what was written just then."""
    print(summary(trials))
    assert [f"--only {each.cut}: {problem}" for each in trials for problem in each.problems] == []
    assert sum(not each.ended for each in trials) <= (len(trials) > 1)


@pytest.mark.parametrize("step", NAMES)
def test_a_signal_at_a_change_of_the_file_system(bench: Bench, step: str) -> None:
    """While it is made, and while it is put in its place; with the inputs kept, or taken back."""
    length = bench.lengths[step]
    assert length > 20
    sign = "INT" if NAMES.index(step) % 2 else "TERM"
    mixed = ((length // 2, sign, True), (length - 10, "KILL", False))
    well([trial(bench, Cut(step, at, "", sign, back)) for at, sign, back in mixed])


def test_a_signal_at_some_moment(bench: Bench) -> None:
    """Also while emerge is running; a run may be over before."""
    trials = [trial(bench, cut) for cut in cuts(bench.lengths, changes=0, timed=3, full=0, seed=1)]
    assert [f"--only {each.cut}: {problem}" for each in trials for problem in each.problems] == []


@needs_root
@pytest.mark.parametrize(("step", "free"), [*zip(NAMES, (8, 64, 64, 0, 0, 0), strict=True), ("root", 4)])
def test_a_full_disk(bench: Bench, step: str, free: int) -> None:
    """With so many kibibytes left."""
    well([trial(bench, Cut(step, free, "k", "FULL", back=step != "packages"))])


@needs_root
def test_an_output_folder_that_cannot_be_written_to(bench: Bench) -> None:
    bench.restore("tarball")
    images = bench.project.folder / "images"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", images], check=True)
    try:
        output = bench.run("image").output
    finally:
        subprocess.run(["umount", images], check=True)
    (message,) = [line for line in output.splitlines() if "Read-only file system" in line]
    assert re.search(rf"{images}/image-lab-\S+ cannot be written: .*; set \[build\] outdir$", message)
    assert "Traceback" not in output
    assert bench.run("image").status == 0
    assert wrong(bench, "B") == []


@pytest.mark.parametrize(
    ("files", "kind", "then"),
    [
        ("build/lab/*.json", "types", "nothing"),
        ("build/lab/root.digest", "empty", "nothing"),
        ("build/lab/packages/packages.lock", "half", "nothing"),
        ("build/lab/packages/packages.lock", "garbage", "root"),
        ("build/lab/packages/view/Packages", "garbage", "B"),
        ("build/lab/packages/view/Packages", "half", "root"),
        ("build/lab/packages/view/lab/*/*.tar", "half", "B"),  # of the store as well: they are one
        ("build/lab/packages/watch.json", "types", "nothing"),
        ("build/lab/packages/ingredients.json", "types", "B"),
        ("build/lab/packages/root-plan.json", "types", "root"),
        (".doit.db", "half", "nothing"),
        ("lab.lock", "garbage", "nothing"),
    ],
)
def test_what_was_damaged(bench: Bench, files: str, kind: str, then: str) -> None:
    assert problems(bench, Damage(files, kind, then)) == []


def test_the_database_lost(bench: Bench) -> None:
    bench.restore("portage")
    bench.give("A")
    (bench.project.folder / ".doit.db").unlink()
    inodes = {name: (bench.work / name).stat().st_ino for name in NAMES}
    output = bench.run("image").output
    assert "Calling" not in output  # emerge
    assert {name: (bench.work / name).stat().st_ino for name in NAMES} == inodes


# the folder of sources is the one of this machine that a confined build finds where it is
WAITS = 'src_compile() {{\n\tuntil test -e "{go}"; do sleep 0.1; done\n}}\n'


def test_runs_that_wait_for_one_that_is_killed(tmp_path: Path) -> None:
    """One of the same image, and one of another that shares the store: both go on and finish."""
    tool("scanelf", "pax-utils")
    files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
    files |= {f"tree/{name}": text for name, text in TREE.items()} | {"tree/profiles/image/packages": ""}
    for name in ("one", "two"):
        files[f"profiles/{name}/quern.conf"] = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
        files[f"profiles/{name}/packages"] = "lab/slow\n"
        files[f"profiles/{name}/parent"] = "lab:image\n"
    files["tree/lab/slow/slow-1.ebuild"] = ebuild(WAITS.format(go=tmp_path / "build/distfiles/go"))
    write(tmp_path, files)
    first = _started(tmp_path, "one")
    _until(tmp_path / "one.output", "Emerging (1 of 1) lab/slow-1")
    others = {name: _started(tmp_path, name, f"again-{name}") for name in ("one", "two")}
    _until(tmp_path / "again-one.output", f"Waiting for process {first.pid} ({tmp_path}/build/one/lock)")
    _until(tmp_path / "again-two.output", f"Waiting for process {first.pid} on ")
    first.kill()
    first.wait()
    write(tmp_path, {"build/distfiles/go": ""})
    for name, process in others.items():
        assert process.wait(300) == 0, (tmp_path / f"again-{name}.output").read_text()
        text = (tmp_path / f"build/{name}/root/image/usr/share/lab/slow").read_text()
        assert text == "slow-1\n"
    outputs = [(tmp_path / f"again-{name}.output").read_text() for name in others]
    assert [cpv for output in outputs for cpv in built(output)] == ["lab/slow-1"]  # by one of them


def _started(folder: Path, image: str, output: str = "") -> subprocess.Popen[bytes]:
    with (folder / f"{output or image}.output").open("w") as file:
        argv = [sys.executable, "-m", "doit", f"image:{image}"]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        return subprocess.Popen(argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _until(output: Path, text: str) -> None:
    deadline = time.monotonic() + 300
    while text not in output.read_text():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)
