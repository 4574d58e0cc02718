"""Roots of lab packages: what phases cost against emerge, and whether a large root costs more for each package."""

from __future__ import annotations

import bz2
import gzip
import io
import statistics
import tarfile
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import cycle
from os import environ
from pathlib import Path

from quern.portage import package_index, store
from quern.portage.root_plan import RootPlan, read
from quern.portage.setup import Setup
from quern.steps import merging
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from quern.steps.emerging import Build
from quern.steps.packages import ROOT_PLAN
from tests.benchmarks.root import against_emerge, timed
from tests.merging import phases
from tests.projects import run, write
from tests.test_emerging import Lab, ebuild

LIMIT = 0.4
PACKAGES = 16  # half of them have phases
PHASES = (("setup",), ("preinst",), ("postinst",), ("preinst", "postinst"))  # of those that have some
FILES = 'for n in {1..20}; do echo "${PF} ${n}" > "${ED}/usr/share/lab/${PN}-${n}" || die; done'
BODY = 'mkdir -p "${EROOT}/var/made" && echo "${PF}" >> "${EROOT}/var/made/${PN}" || die'
LARGE = (100, 500)  # packages
EVERY = 5  # in a large root, one package of so many has phases
GROWTH = 1.1


def lab(rounds: int) -> None:
    """Build lab packages, and measure both."""
    with tempfile.TemporaryDirectory() as name:
        made = _built(Path(name))
        against_emerge(made.image, rounds, LIMIT)
        growth(made, rounds)


def _built(folder: Path) -> Lab:
    """The lab packages `plain-00` and so on, and as many `phase-00` and so on, ready to be installed."""
    made, kinds = Lab(folder), cycle(PHASES)
    names = [f"{kind}-a{number:03}" for number in range(PACKAGES // 2) for kind in ("plain", "phase")]
    for name in names:
        functions = phases(**dict.fromkeys(next(kinds), BODY)) if name.startswith("phase") else ""
        write(made.tree, {f"lab/{name}/{name}-1.ebuild": ebuild(functions, FILES)})
    write(made.tree, {"profiles/image/packages": "".join(f"lab/{name}\n" for name in names)})
    for step in steps_of(made.image)[:2]:
        run_step(step, run())
    return made


def growth(made: Lab, rounds: int) -> None:
    """Print the processor time of a package in a small root, and of each that a large one has more."""
    totals: dict[int, list[float]] = {size: [] for size in LARGE}
    for number in range(rounds):
        for size in LARGE:
            build, plan = _large(made, made.folder / f"{number}-{size}", size)
            totals[size].append(timed(partial(merging.merge, build, plan)).processors)
    small, large = LARGE
    first, last = (statistics.median(totals[size]) * 1000 for size in LARGE)
    print(f"roots of lab packages, milliseconds of processors for each of {small}: {first / small:.1f},")
    print(f"  for each of {large}: {last / large:.1f}, for each of the last {large - small} of them alone:", end=" ")
    print(f"{(last - first) / (large - small):.1f}")
    print(f"  ratio {last / large / first * small:.2f}, limit {GROWTH} ({rounds} rounds)")


def _large(made: Lab, folder: Path, size: int) -> tuple[Build, RootPlan]:
    """A root that is to be filled with so many copies of two lab packages, of which one has phases."""
    root = next(step for step in steps_of(made.image) if step.name == "root")
    packages, portage = root.place.beside("packages").output, root.place.beside("portage").output
    stanzas = {stanza["CPV"]: stanza for stanza in package_index.read_index(packages / "view")}
    view, copies = folder / "scratch/view", list[dict[str, str]]()
    for number in range(size):
        kind = "phase" if number % EVERY == 0 else "plain"
        old, new = f"{kind}-a00{3 if kind == 'phase' else 0}", f"{kind}-b{number:03}"
        copies.append(_copy(packages / "view", stanzas[f"lab/{old}-1"], view, old, new))
    package_index.write_index(view, copies, package_index.CONSTANT)
    build = Build(Setup(made.image, environ["PATH"]), run(), folder, portage, folder / "merge.log", view)
    build.prepare()
    return build, read(packages / ROOT_PLAN)._replace(packages=[[stanza["CPV"], "lab"] for stanza in copies])


def _copy(source: Path, stanza: dict[str, str], target: Path, old: str, new: str) -> dict[str, str]:
    """Write a package `new` that is `old` by another name of the same length; returns its stanza of the index."""
    renamed = {name: value.replace(old, new) for name, value in stanza.items()}
    path = target / renamed["PATH"]
    path.parent.mkdir(parents=True)
    with tarfile.open(source / stanza["PATH"]) as package, tarfile.open(path, "w") as copy:
        for info, content in _contents(package):
            if info.name.endswith(".tar.gz"):
                content = gzip.compress(_renamed(gzip.decompress(content), old, new), 1)
            info.name, info.size = info.name.replace(old, new), len(content)
            if not info.name.endswith("/Manifest"):  # which nobody reads once the index knows the package
                copy.addfile(info, io.BytesIO(content))
    return {**renamed, **store.digests(path), "MTIME": str(int(path.stat().st_mtime))}


def _renamed(content: bytes, old: str, new: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as source, tarfile.open(fileobj=target, mode="w") as copy:
        for info, content in _contents(source):
            if info.name.endswith("/environment.bz2"):
                content = bz2.compress(bz2.decompress(content).replace(old.encode(), new.encode()))
            else:
                content = content.replace(old.encode(), new.encode())
            info.name, info.size = info.name.replace(old, new), len(content)
            copy.addfile(info, io.BytesIO(content))
    return target.getvalue()


def _contents(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for info in tar:
        file = tar.extractfile(info) if info.isreg() else None
        yield info, file.read() if file else b""
