"""The time that a tarball gets, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from quern.project import Image
from quern.steps.base import run_step
from quern.steps.tarball import TarballStep
from tests.projects import Said, image_of, run, write

FIRST = 315532800  # 1980-01-01


@pytest.fixture
def stripped(tmp_path: Path) -> Path:
    """The work folder of the image `lab.conf` with a stripped root of one file."""
    write(tmp_path, {"lab.conf": "[build]\nprofile = starter:musl\n", "work/strip/image/file": "text\n"})
    (tmp_path / "work/strip.digest").write_text("sha256:0\n")
    return tmp_path / "work"


def packed(work: Path, environ: Mapping[str, str]) -> tuple[Image, list[str]]:
    """Pack it; gives the image and the warnings."""
    image, said = image_of(work.parent / "lab.conf", work, environ), Said()
    assert run_step(TarballStep(work, False, image), run(said))
    return image, [line for line in said.lines if line.startswith("Warning")]


@pytest.mark.parametrize("name", ["SOURCE_DATE_EPOCH", "QUERN_BUILD_SOURCE_DATE_EPOCH"])
def test_a_time_that_zip_files_cannot_hold(stripped: Path, name: str) -> None:
    assert packed(stripped, {name: str(FIRST)})[1] == []
    assert packed(stripped, {name: str(FIRST - 1)})[1] == [
        f"Warning: {name}: build.source_date_epoch is 315532799, before 1980: "
        "no zip file can hold the times of the image's files"
    ]


def test_files_that_are_older_than_zip_files(stripped: Path) -> None:
    """As a store of another package manager has them, where all times are 1."""
    os.utime(stripped.parent / "lab.conf", (1, 1))
    assert packed(stripped, {})[1] == [
        "Warning: the time of the newest file of the configuration is 1, before 1980: "
        "no zip file can hold the times of the image's files"
    ]
