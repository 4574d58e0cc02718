"""Packages of every kind that a merge must get right, and what emerge makes of them: the reference for ours."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from quern.portage import store
from quern.portage.emerge import PACKAGE_EPOCH, source_options
from quern.portage.setup import Setup
from quern.project import Image
from quern.steps.chain import steps_of
from quern.steps.emerging import Build
from quern.worker import entry
from quern.worker.finished import clear
from quern.worker.vdb import DATABASE, finish, owners
from tests.projects import run
from tests.test_emerging import TREE as TREE_OF_LAB

KINDS = Path(__file__).parent / "data/kinds"  # a repository's packages: one of every kind


def phases(**bodies: str) -> str:
    """The functions of these phases, with their bodies."""
    return "".join(f"pkg_{phase}() {{\n\t{body}\n}}\n" for phase, body in bodies.items())


TREE = {
    **{str(path.relative_to(KINDS)): path.read_text() for path in sorted(KINDS.rglob("*.ebuild"))},
    "profiles/image/packages": "".join(
        f"lab/{name}\n" for name in sorted(os.listdir(KINDS / "lab")) if name != "after"
    ),
    "profiles/image/make.defaults": TREE_OF_LAB["profiles/image/make.defaults"]
    + 'INSTALL_MASK="/usr/share/doc -*.keepme *.la"\nFEATURES="${FEATURES} sfperms"\n',
}


def by_emerge(image: Image, folder: Path) -> Path:
    """Install the image's view by emerge into a root in `folder`, and normalise it; returns the root."""
    build = emerging(image, folder)
    emerge(build)
    normalise(build.root)
    return build.root


def emerging(image: Image, folder: Path) -> Build:
    """Prepare to install the image's view by emerge into a root in `folder`."""
    step = next(step for step in steps_of(image) if step.name == "root")
    view = folder / "scratch/view"
    store.link_view(step.place.beside("packages").output / "view", view)
    setup = Setup(image, os.environ["PATH"])
    build = Build(setup, run(), folder, step.place.beside("portage").output, image.work / "logs/by-emerge.log", view)
    build.prepare()
    return build


def emerge(build: Build) -> None:
    """Install what the image names by emerge."""
    image = build.setup.image
    source = [word for word in source_options(build.processors, binhost=False) if not word.endswith(("pkg", "deps=y"))]
    options = [*source, "--update", "--deep", "--usepkgonly"]
    build.emerge(options, [*build.setup.sets(), *image.settings.build.baselayout_atoms])


def normalise(root: Path) -> None:
    """Take out of a root what differs between two merges of the same packages."""
    finish(str(root))
    clear(str(root), {os.fsencode(path[1:]) for path in owners(str(root))})
    for folder in sorted((root / DATABASE).glob("*/*")):
        for name in entry.VOLATILE:
            if name != "CONTENTS":
                (folder / name).unlink(missing_ok=True)
        for name in entry.CONSTANT:
            (folder / name).write_text("0\n")
        for name in entry.UNSORTED:
            if (folder / name).is_file():
                (folder / name).write_bytes(b"".join(sorted((folder / name).read_bytes().splitlines(keepends=True))))
        (folder / "CONTENTS").write_bytes(_contents((folder / "CONTENTS").read_bytes()))
    for path in root.rglob(".keep_*"):
        if path.is_file() and not path.is_symlink() and not path.stat().st_size:
            path.unlink()


def _contents(text: bytes) -> bytes:
    lines = [line for line in text.split(b"\n") if line and not re.search(rb"/\.keep_[^/]* [0-9a-f]{32} [0-9]+$", line)]
    epoch = b" %d" % PACKAGE_EPOCH
    lines = [re.sub(rb"^((?:obj|sym) .*) [0-9]+$", lambda match: match[1] + epoch, line) for line in lines]
    return b"".join(line + b"\n" for line in sorted(lines))


def rows(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a root, by path: kind and mode, owner, what it holds, the names that are one file, and its time."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, list[str]] = {}
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(root))
        kind = stat.S_IFMT(status.st_mode)
        held: object = None
        if stat.S_ISREG(kind):
            held = path.read_bytes()
            inodes.setdefault(status.st_ino, []).append(name)
        elif stat.S_ISLNK(kind):
            held = os.readlink(path)
        time = status.st_mtime_ns if stat.S_ISREG(kind) and not name.startswith((DATABASE, "etc/", "var/made/")) else 0
        found[name] = (oct(status.st_mode), status.st_uid, status.st_gid, held, time)
    links = {name: tuple(names) for names in inodes.values() for name in names}
    return {name: (*row, links.get(name)) for name, row in found.items()}
