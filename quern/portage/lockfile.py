"""`packages.lock`: what was resolved, one block a package, sorted, fit for review and `git diff`.

    sys-libs/zlib-1.3.1:0/1::starter
      USE -minizip static-libs
      EBUILD SHA256 7d3f...
      ECLASS quern-musl SHA256 40d5...
      FILES SHA256 9a1b...                  of all that is in files/
      DIST zlib-1.3.1.tar.gz 1512791 BLAKE2B ...
      BINHOST https://packages.example/amd64      where it was not built but fetched, for information

No digest of a binary package is in it: building one again changes its container, not what was resolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quern.errors import BuildError
from quern.portage import keys
from quern.portage.plan import Plan, package_name
from quern.portage.store import BINHOST

NAME = "packages.lock"
HEADER = "# Written by quern: every package of the image, and what it is built from.\n"
OURS = "# Written by quern"  # how every lock begins

_HEAD = re.compile(r"([\w+.-]+/[\w+.-]+):([^\s:]+)::([\w-]+)")
_ENTRIES = {  # line of a block: what it looks like
    "USE": re.compile(r"USE(?: (.*))?"),
    "EBUILD": re.compile(r"EBUILD SHA256 ([0-9a-f]{64})"),
    "ECLASS": re.compile(r"ECLASS (\S+) SHA256 ([0-9a-f]{64})"),
    "FILES": re.compile(r"FILES SHA256 ([0-9a-f]{64})"),
    "DIST": re.compile(r"DIST (\S+) ([0-9]+ .+)"),
    "BINHOST": re.compile(r"BINHOST (\S+)"),
}


class Locked(NamedTuple):
    """One package of a lock.

    `slot` is SLOT or SLOT/SUBSLOT, `use` its flags as in USE, those that are off with a hyphen; digests are SHA-256,
    that of `files` empty where there are none, those of `distfiles` as in a
    Manifest; `binhost` is the URL of where it was fetched, if it was not built.
    """

    cpv: str
    slot: str
    repository: str
    use: tuple[str, ...]
    ebuild: str
    eclasses: Mapping[str, str]
    files: str
    distfiles: Mapping[str, str]
    binhost: str = ""

    @property
    def name(self) -> str:
        """`category/package`."""
        return package_name(self.cpv)

    @property
    def version(self) -> str:
        """The version, with its revision."""
        return self.cpv[len(self.name) + 1 :]


def text(packages: Iterable[Locked]) -> str:
    """The lock of `packages`."""
    return HEADER + "".join(f"\n{_block(package)}" for package in sorted(packages, key=_cpv))


def of_plan(plan: Plan) -> list[Locked]:
    """What a lock says of the packages of a plan; reads their files."""
    return [of_recipe(keys.recipe(package)) for package in plan.packages]


def of_recipe(recipe: Mapping[str, Any]) -> Locked:
    """What a lock says of a package with this recipe (see `keys`)."""
    slot, _, subslot = recipe["slot"].partition("/")
    return Locked(
        cpv=recipe["cpv"],
        slot=slot if subslot == slot else recipe["slot"],
        repository=recipe["repository"],
        use=tuple(flag if flag in recipe["flags"] else f"-{flag}" for flag in recipe["iuse"]),
        ebuild=recipe["ebuild"],
        eclasses=recipe["eclasses"],
        files=recipe["files"] if recipe["files"] != keys.NOTHING else "",
        distfiles=recipe["distfiles"],
    )


def with_origins(packages: Iterable[Locked], stanzas: Iterable[Mapping[str, str]]) -> list[Locked]:
    """The packages with where their binary packages, of these index stanzas, were fetched."""
    binhosts = {stanza["CPV"]: stanza.get(BINHOST, "") for stanza in stanzas}
    return [package._replace(binhost=binhosts.get(package.cpv, "")) for package in packages]


def cpvs(lock: Path) -> list[str]:
    """The packages of the lock at `lock`, of the packages step. Raises BuildError if it is none any more."""
    try:
        return [package.cpv for package in parse(lock.read_text(encoding="utf-8", errors="replace"), str(lock))]
    except BuildError as error:
        raise BuildError(f"{error}; run it again, and it is made anew") from None


def parse(lock: str, where: str) -> list[Locked]:
    """The packages of a lock's text; what later versions may add to a block, a word in capitals, is passed over.

    `where` is what the lock is called in an error. Raises BuildError, with the line.
    """
    packages: list[Locked] = []
    for number, line in enumerate(lock.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line):
            packages.append(Locked(head[1], head[2], head[3], use=(), ebuild="", eclasses={}, files="", distfiles={}))
        elif packages and line.startswith("  ") and (package := _with(packages[-1], line.strip())):
            packages[-1] = package
        else:
            conflict = " (a merge that is not finished?)" if line.startswith(("<<<<<<<", "=======", ">>>>>>>")) else ""
            raise BuildError(f"{where}:{number}: expected a line of a lock, got {line[:60]!r}{conflict}")
    return packages


def _cpv(package: Locked) -> str:
    return package.cpv


def _with(package: Locked, line: str) -> Locked | None:
    """The package with what a line of its block says of it; None if that is no such line."""
    word = line.split()[0]
    if word not in _ENTRIES:
        return package if re.fullmatch(r"[A-Z][A-Z0-9_]*", word) else None
    match = _ENTRIES[word].fullmatch(line)
    if match is None:
        return None
    if word == "USE":
        return package._replace(use=tuple((match[1] or "").split()))
    if word == "ECLASS":
        return package._replace(eclasses={**package.eclasses, match[1]: match[2]})
    if word == "DIST":
        return package._replace(distfiles={**package.distfiles, match[1]: match[2]})
    if word == "BINHOST":
        return package._replace(binhost=match[1])
    return package._replace(ebuild=match[1]) if word == "EBUILD" else package._replace(files=match[1])


def _block(package: Locked) -> str:
    lines = [f"{package.cpv}:{package.slot}::{package.repository}", f"  USE {' '.join(package.use)}".rstrip()]
    lines.append(f"  EBUILD SHA256 {package.ebuild}")
    lines += [f"  ECLASS {name} SHA256 {digest}" for name, digest in package.eclasses.items()]
    lines += [f"  FILES SHA256 {package.files}"] if package.files else []
    lines += [f"  DIST {name} {digests}" for name, digests in package.distfiles.items()]
    lines += [f"  BINHOST {package.binhost}"] if package.binhost else []
    return "\n".join(lines) + "\n"
