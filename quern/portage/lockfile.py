"""`packages.lock`: what was resolved, one block a package, sorted, fit for review and `git diff`.

No digest of a binary package is in it: building one again changes its container, not what was resolved.
"""

from __future__ import annotations

from pathlib import Path

from quern.portage.keys import distfile_digests, file_digest
from quern.portage.plan import Package, Plan

NAME = "packages.lock"
HEADER = "# Written by quern: every package of the image, and what it is built from.\n"


def text(plan: Plan) -> str:
    """The lock of a plan."""
    return HEADER + "".join(f"\n{_block(package)}" for package in sorted(plan.packages, key=_cpv))


def cpvs(lock: Path) -> list[str]:
    """The packages of the lock at `lock`: the first words of its blocks, without slot and repository."""
    blocks = lock.read_text(encoding="utf-8").split("\n\n")[1:]
    return [block.split(":", 1)[0] for block in blocks]


def _cpv(package: Package) -> str:
    return package.cpv


def _block(package: Package) -> str:
    ebuild = Path(package.ebuild)
    slot = package.slot if package.subslot == package.slot else f"{package.slot}/{package.subslot}"
    flags = [flag if flag in package.use else f"-{flag}" for flag in package.iuse]
    lines = [f"{package.cpv}:{slot}::{package.repository}", f"  USE {' '.join(flags)}".rstrip()]
    lines.append(f"  EBUILD SHA256 {file_digest(ebuild)}")
    lines += [f"  ECLASS {name} SHA256 {file_digest(Path(path))}" for name, path in sorted(package.eclasses.items())]
    manifest = ebuild.parent / "Manifest"
    lines += [f"  DIST {name} {digests}" for name, digests in distfile_digests(manifest, package.distfiles).items()]
    return "\n".join(lines) + "\n"
