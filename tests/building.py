"""Real projects for the tests that build: the shipped profiles in a folder of their own, sharing one store.

What is built from source is built once a run: every project uses the same store of binary packages.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CHECKOUT = Path(__file__).parent.parent
# For whoever runs these tests often: a folder that keeps the sources. Read here, before the environment is scrubbed.
KEPT_DISTFILES = os.environ.get("QUERN_TEST_DISTFILES")

# not "Emerging binary (...)", nor what a container prints
BUILT = re.compile(r"(?<!logs: )>>> Emerging \(\d+ of \d+\) ([^\s:]+)")
TIME = re.compile(r"^\d\d:\d\d:\d\d ", re.MULTILINE)  # at the beginning of a line, where that is no terminal
RAN = re.compile(r"^\.  (\w+):", re.MULTILINE)


@dataclass
class Project:
    """A project folder; `doit` runs there with `variables` added to the environment."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def doit(self, *arguments: str, status: int = 0, variables: Mapping[str, str] | None = None) -> str:
        """Run doit and return what it printed, without the times; the exit status must be `status`."""
        ran = subprocess.run(
            [sys.executable, "-m", "doit", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), **self.variables, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert ran.returncode == status, f"doit {' '.join(arguments)}: exit {ran.returncode}\n{ran.stdout[-6000:]}"
        return TIME.sub("", ran.stdout)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text of a file, which must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def tarball(self, image: str) -> Path:
        """The one tarball of an image."""
        (found,) = (self.folder / "images").glob(f"image-{image}-????-??-??.tar.gz")
        return found

    def names(self, image: str) -> set[str]:
        """What is in the tarball of an image, as absolute paths."""
        with tarfile.open(self.tarball(image)) as tar:
            return {member.name.lstrip(".") for member in tar}

    def copy(self, target: Path) -> Project:
        """The same profiles in a new project, with nothing built but the shared store."""
        return make_project(target, self.variables, self.folder / "profiles")


def make_project(folder: Path, variables: dict[str, str], profiles: Path = CHECKOUT / "profiles") -> Project:
    """A project as a person makes it: a dodo.py of a few lines, and profiles."""
    folder.mkdir(parents=True)
    shutil.copyfile(CHECKOUT / "dodo.py", folder / "dodo.py")
    shutil.copytree(profiles, folder / "profiles")
    return Project(folder, variables)


def run_folder(factory: pytest.TempPathFactory) -> Path:
    """A folder for the whole run: all workers of pytest-xdist have the same."""
    base = factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "run"
    folder.mkdir(exist_ok=True)
    return folder


def once(file: Path, make: Callable[[], str]) -> str:
    """What `make` gives: it is called by the first worker that asks, and `file` keeps the text for the others."""
    with file.with_name(f"{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_text(make())
        return file.read_text()


def linked_store(store: Path, target: Path, without: str) -> Path:
    """The packages of a store in a new one, but for those that match a pattern; gives `target`."""
    shutil.copytree(store, target, ignore=shutil.ignore_patterns(".*", without), copy_function=os.link)
    return target


def built(output: str) -> list[str]:
    """The packages that emerge built from source, in the order of doit's output."""
    return BUILT.findall(output)


def ran(output: str) -> list[str]:
    """The steps that doit ran."""
    return RAN.findall(output)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every path below a folder with its inode, size and time: equal only if nothing was written."""
    rows = {}
    for current, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(current, name)
            status = os.lstat(path)
            rows[path] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return rows


def python_for_everyone(home: Path, compiled: bool = True) -> Path:
    """A Python in the new folder `home`, with Portage, doit and quern, that an ordinary user can reach.

    This one, and the checkout, may be below /root. The user cannot write there: without bytecode every process would
    compile the modules again, half a second each.
    """
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", home], check=True)
    packages = next((home / "lib").glob("python3*/site-packages"))
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("portage", "_emerge", "doit", "getconf", "cloudpickle", "urllib3"):
        found = find_spec(name)
        if found is not None and found.origin is not None:  # cloudpickle: only some versions of doit need it
            shutil.copytree(Path(found.origin).parent, packages / name, ignore=ignored)
    shutil.copytree(CHECKOUT / "quern", packages / "quern", ignore=ignored)
    for folder in ("lib/portage", "share/portage"):
        shutil.copytree(Path(sys.prefix) / folder, home / folder, ignore=ignored)
    script = (Path(sys.prefix) / "bin/emerge").read_text().partition("\n")[2]
    (home / "bin/emerge").write_text(f"#!{home}/bin/python3\n{script}")
    (home / "bin/emerge").chmod(0o755)
    if compiled:
        subprocess.run([home / "bin/python3", "-m", "compileall", "-q", packages], check=True)
    open_to_all(home)
    return home / "bin/python3"


def open_to_all(folder: Path) -> None:
    """Let every user enter `folder` and those that it is in: pytest's own are 0700."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o001)
