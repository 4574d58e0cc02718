"""Keys of a plan of 600 packages against one of 100, by the package: whether a large plan costs more for each."""

from __future__ import annotations

import random
import statistics
import tempfile
from pathlib import Path

from quern.portage.keys import ingredients
from quern.portage.plan import Package, Plan
from quern.portage.tools import MachineIdentity
from tests.benchmarks import seconds
from tests.projects import write

SIZES = (100, 600)
GROWTH = 1.2
NEAR = 40  # a package depends on some of so many before it
MACHINE = MachineIdentity([f"/usr/bin/tool{number} 1 1" for number in range(70)], {"lib/p3": ["/usr/bin/perl 1 1"]})


def keys(rounds: int) -> None:
    """Print the median times by the package, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        plans = {size: _plan(Path(folder) / str(size), size) for size in SIZES}
        inside = {size: sum(map(len, plan.closures.inside.values())) // size for size, plan in plans.items()}
        times = {size: list[float]() for size in SIZES}
        for _ in range(rounds):
            for size, plan in plans.items():
                times[size].append(seconds(lambda: ingredients(plan, MACHINE).keys()) / size)  # noqa: B023 (called here)
        small, large = (1000 * statistics.median(times[size]) for size in SIZES)
        print(f"keys of {SIZES[0]} packages, each built with {inside[SIZES[0]]}: {small:.3f} ms a package")
        print(f"keys of {SIZES[1]} packages, each built with {inside[SIZES[1]]}: {large:.3f} ms a package")
        print(f"  ratio {large / small:.2f}, limit {GROWTH} ({rounds} rounds)")


def _plan(folder: Path, size: int) -> Plan:
    """A plan of so many packages, each with an ebuild, a patch, a Manifest and four eclasses."""
    choose = random.Random(1)
    write(folder, {f"eclass/e{number}.eclass": "x" * 3000 for number in range(4)})
    eclasses = {f"e{number}": str(folder / f"eclass/e{number}.eclass") for number in range(4)}
    packages = []
    for number in range(size):
        name = f"p{number}"
        files = {f"{name}-1.ebuild": "y" * 1500, "files/fix.patch": "z" * 1000}
        write(folder / "lib" / name, {**files, "Manifest": f"DIST {name}.tar.xz 5 BLAKE2B 11\n"})
        deps = {f"lib/p{choose.randrange(max(0, number - NEAR), number)}-1" for _ in range(min(number, 4))}
        packages.append(
            Package(
                cpv=f"lib/{name}-1", slot="0", subslot="0", repository="tree", use=("ssl",), iuse=("ssl", "test"),
                flags=("amd64", "ssl"), on_host=False, ebuild=str(folder / f"lib/{name}/{name}-1.ebuild"),
                eclasses=eclasses, distfiles=(f"{name}.tar.xz",), build_deps=tuple(sorted(deps)), phases=("compile",),
                run_deps=tuple(sorted(deps)),
            )
        )  # fmt: skip
    return Plan(tuple(packages), {"CFLAGS": "-O2", "FEATURES": "binpkg-docompress binpkg-dostrip"})
