"""No change that matters goes unnoticed, and none that does not costs an emerge: random mutations of a generated tree.

A failure names the seed and number of its mutation: `python -m tests.soundness --seed S --only N` does it again.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quern.portage import emerge
from quern.portage.keys import tree_digest
from tests.projects import source_build
from tests.soundness import decision
from tests.soundness.decision import unconfined
from tests.soundness.tree import make_tree
from tests.soundness.trials import Laboratory, Trial, summary

MUTATIONS = 100  # of each tree; python -m tests.soundness does as many as one likes
# what a record would miss without its rows of one kind shows that the mutations reach what they are for
ROWS = {
    "files": lambda row: not row[1].startswith(("x ", "- ")),
    "names in folders": lambda row: not row[1].startswith("d "),
    "absences": lambda row: row[1] != "",
}


@pytest.fixture(scope="module", params=[1, 2])
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A generated project that is resolved and observed, with decisions by weaker records beside the real one."""
    made = Laboratory.open(tmp_path_factory.mktemp("soundness") / "project", request.param, churn=5)
    made.weaker = {name: decision.weaker(made.observation, name, keep) for name, keep in ROWS.items()}
    yield made
    made.close()


@pytest.fixture(scope="module")
def trials(laboratory: Laboratory) -> list[Trial]:
    """Mutations of that project, each with what came of it."""
    before = tree_digest(laboratory.tree.folder / "tree")
    done = list(laboratory.trials(range(MUTATIONS)))
    assert tree_digest(laboratory.tree.folder / "tree") == before
    print(summary(done))
    return done


def test_nothing_is_missed_and_nothing_is_needless(laboratory: Laboratory, trials: list[Trial]) -> None:
    problems = [
        f"--seed {laboratory.seed} --only {trial.number}: {trial.kind}: {trial.what}: {'; '.join(trial.problems)}"
        for trial in trials
        if trial.problems
    ]
    assert problems == []
    assert sum(trial.differs for trial in trials) > MUTATIONS // 5  # else next to nothing was tried
    assert sum(not trial.runs for trial in trials) > MUTATIONS // 5


def test_misses_are_found(trials: list[Trial]) -> None:
    """Each kind of row of the record is needed, and these mutations show it."""
    assert {name for trial in trials for name in trial.missed_without} == set(ROWS)


def test_the_forked_resolver_answers_like_the_worker(laboratory: Laboratory) -> None:
    tree = laboratory.tree
    for version in ("", "98"):
        if version:
            text = next((tree.folder / "tree").rglob("libc-*.ebuild")).read_text()
            laboratory.edits.write(tree.repositories["extra"] / f"sys-libs/libc/libc-{version}.ebuild", text)
        build = unconfined(tree.image(tree.folder / "other/image"))
        plan = build.plan(emerge.source_options(1, binhost=False), build.setup.sets())
        answer = laboratory.oracle.answer()
        assert answer.plan
        assert answer.plan.packages == plan.packages
        assert answer.plan.variables == plan.variables
        assert answer.differs(laboratory.base) == bool(version)
    laboratory.edits.revert()


def test_cached_metadata_are_egencache_s(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "project", seed=3, packages=40)
    build = source_build(tree.image(tree.work))
    environment = build.surroundings.environment()
    (build.host / "etc/portage/make.conf").write_text(build.surroundings.host_settings())  # as the worker does
    cache = tree.repositories["gen"] / "metadata/md5-cache"
    ours = {path.relative_to(cache): path.read_text() for path in cache.rglob("*-[0-9]*")}
    shutil.rmtree(cache)
    argv = [build.machine.python, str(Path(build.machine.emerge).with_name("egencache")), "--update", "--repo", "gen"]
    repositories = ["--repositories-configuration", environment["PORTAGE_REPOSITORIES"]]
    subprocess.run([*argv, *repositories], env=environment, check=True, capture_output=True)
    assert len(ours) > 40
    assert {name: (cache / name).read_text() for name in ours} == ours
    assert any(re.search("^_eclasses_=.*build", text, re.M) for text in ours.values())
