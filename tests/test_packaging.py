"""What a wheel and an sdist hold, built without the network."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from quern import __version__

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is packaged; building in the checkout would leave files there."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "LICENSE", "README.rst"):
        shutil.copy(CHECKOUT / name, source / name)
    shutil.copytree(CHECKOUT / "quern", source / "quern", ignore=shutil.ignore_patterns("__pycache__"))
    return source


@pytest.fixture(scope="session")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel of this checkout was installed."""
    wheels = tmp_path_factory.mktemp("wheels")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(source))
    (wheel,) = wheels.glob(f"quern_builder-{__version__}-py3-none-any.whl")
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", str(target), str(wheel))
    return target


def pip(*words: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def files(top: Path) -> dict[str, bool]:
    """Every file below `top`: may it be executed?"""
    return {
        str(path.relative_to(top)): os.access(path, os.X_OK)
        for path in top.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_has_every_file_and_executable_bit(installed: Path) -> None:
    """Those of the starter's toolchain above all."""
    assert files(installed / "quern") == files(CHECKOUT / "quern")


def test_sdist_has_every_file(source: Path, tmp_path: Path) -> None:
    script = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=source, stdout=subprocess.DEVNULL, check=True)
    with tarfile.open(tmp_path / f"quern_builder-{__version__}.tar.gz") as sdist:
        names = {member.name.partition("/")[2] for member in sdist if member.isfile()}
    assert {name for name in names if name.startswith("quern/")} == {
        f"quern/{name}" for name in files(source / "quern")
    }


def test_installed_manual_can_be_read(installed: Path) -> None:
    ran = subprocess.run(
        [installed / "bin/quern-builder", "manual", "tutorial"],
        env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (CHECKOUT / "quern/manual/tutorial.rst").read_text()


def test_installed_wheel_runs(installed: Path) -> None:
    ran = subprocess.run(
        [installed / "bin/quern-builder", "--help"],
        cwd=installed, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "[build]" in ran.stdout


def test_installed_reporter_has_a_name(installed: Path, tmp_path: Path) -> None:
    """In any dodo.py, not only in one of images."""
    (tmp_path / "dodo.py").write_text('def task_mine():\n    return {"actions": ["echo of mine"], "verbosity": 2}\n')
    ran = subprocess.run(
        [sys.executable, "-m", "doit", "-r", "quern"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, "")
    assert re.fullmatch(r"\d\d:\d\d:\d\d \.  mine\nof mine\n", ran.stdout)


def test_every_dependency_says_why() -> None:
    """A comment stands above each requirement: whoever adds one argues for it."""
    lines = (CHECKOUT / "setup.cfg").read_text().splitlines()
    config = configparser.ConfigParser()
    config.read(CHECKOUT / "setup.cfg")
    wanted = config["options"]["install_requires"].split() + config["options.extras_require"]["test"].split()
    assert wanted
    for requirement in wanted:
        above = [lines[number - 1].strip() for number, line in enumerate(lines) if line.strip() == requirement]
        assert any(line.startswith("#") for line in above), requirement
