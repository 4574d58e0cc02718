"""What identifies a binary package of ours: everything that went into building it.

    key = its recipe  +  build variables  +  tools, Portage  +  the keys of all it was built with

emerge reuses a binary package after its ebuild, an eclass or a patch was edited without a new version; keys do not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quern.portage import reading

if TYPE_CHECKING:
    from quern.portage.plan import Package, Plan

NOTHING = hashlib.sha256().hexdigest()  # the `tree_digest` of a folder that is empty, or not there
UNCONFINED = "unconfined"  # of a machine: its builds are not confined, and their packages for its own use
VERSION = 3  # part of every key: raise it when quern builds the same inputs into other bytes


def package_keys(plan: Plan, machine: Iterable[str]) -> dict[str, str]:
    """The key of every package of the plan, by cpv: 64 hexadecimal digits.

    `machine` identifies what is not in the repositories: the tools, Portage, a builder image.
    """
    return ingredients(plan, machine).keys()


class Ingredients(NamedTuple):
    """Everything that the packages of a plan are built from; their keys are its digests.

    `variables` and `machine` are the same for all; by id, `recipes` are what each package has of its own, `closures`
    what it is built with (ids), and `cuts` what is left out of that because it is built later; `written` is how quern
    wrote packages then.
    """

    variables: dict[str, str]
    machine: list[str]
    recipes: dict[str, dict[str, Any]]
    closures: dict[str, list[str]]
    cuts: dict[str, list[str]]
    written: list[Any]

    def keys(self) -> dict[str, str]:
        """The key of every package of the image, by cpv: 64 hexadecimal digits."""
        return {name: key for name, key in self._all_keys().items() if not is_for_host(name)}

    def host_keys(self, host: str) -> dict[str, str]:
        """The keys, by id, of the packages that are merged where emerge runs.

        `host` is the path that is written into them: that of the host side, or empty where it is the same everywhere.
        """
        keys = self._all_keys()
        return {name: _digest([key, host]) for name, key in keys.items() if is_for_host(name)}

    def _all_keys(self) -> dict[str, str]:
        common = _digest([self.written, sorted(self.variables.items()), self.machine])
        keys: dict[str, str] = {}
        for name in TopologicalSorter(self.closures).static_order():
            inside = [[other, keys[other]] for other in self.closures[name]]
            keys[name] = _digest([common, is_for_host(name), self.recipes[name], inside, self.cuts[name]])
        return keys

    def behind(self, name: str) -> list[str]:
        """All that the package `name` (an id) depends on: what it is built with, what that is built with, and so on."""
        found: set[str] = set()
        todo = list(self.closures[name])
        while todo:
            other = todo.pop()
            if other not in found:
                found.add(other)
                todo += self.closures[other]
        return sorted(found)


def ingredients(plan: Plan, machine: Iterable[str]) -> Ingredients:
    """What the packages of the plan are built from; `machine` as for `package_keys`."""
    recipes = {package.id: recipe(package) for package in (*plan.packages, *plan.host)}
    inside, cut, _ = plan.closures
    return Ingredients(dict(plan.variables), list(machine), recipes, dict(inside), dict(cut), _written())


def _written() -> list[Any]:
    """What decides on a package's bytes besides its inputs: how quern writes it."""
    from quern.worker.gpkg_write import identity

    return [VERSION, identity()]


def is_for_host(name: str) -> bool:
    """Whether an id is that of a package that is merged where emerge runs."""
    return name.startswith("/")


def read_ingredients(path: Path) -> Ingredients | None:
    """What `write_ingredients` wrote; None where there is nothing, or it was damaged."""
    try:
        data = json.loads(path.read_bytes())
        return Ingredients(**data) if data.pop("check") == _digest(data) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_ingredients(path: Path, value: Ingredients) -> None:
    """Keep what the packages were built from, to say later why one is built again."""
    data = value._asdict()
    path.write_text(json.dumps({**data, "check": _digest(data)}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def recipe(package: Package) -> dict[str, Any]:
    """What one package is built from, by itself: its ebuild, eclasses, files/, distfiles and flags."""
    ebuild = Path(package.ebuild)
    folder = ebuild.parent
    return {
        "cpv": package.cpv,
        "repository": package.repository,
        "slot": f"{package.slot}/{package.subslot}",
        "iuse": list(package.iuse),
        "flags": list(package.flags),
        "ebuild": file_digest(ebuild),
        "eclasses": {name: file_digest(Path(path)) for name, path in sorted(package.eclasses.items())},
        "files": tree_digest(folder / "files"),
        "distfiles": distfile_digests(folder / "Manifest", package.distfiles),
    }


def distfile_digests(manifest: Path, names: Iterable[str]) -> dict[str, str]:
    """The DIST lines (GLEP 74) of `names`: name to "size HASH value ..."; a name without a line is not in it."""
    wanted = set(names)
    lines = {}
    if wanted and manifest.exists():
        for line in reading.text(manifest).split("\n"):
            words = line.split()
            if len(words) > 2 and words[0] == "DIST" and words[1] in wanted:
                lines[words[1]] = " ".join(words[2:])
    return dict(sorted(lines.items()))


def tree_digest(folder: Path, counts: Callable[[str], bool] = bool) -> str:
    """A digest of the names, kinds, executable bits and content below `folder`; of nothing if it is not there.

    A link counts as its text and as what it points to, which Portage reads; a name for which `counts` is false, not.
    """
    digest = hashlib.sha256()

    def add(current: Path, prefix: str, above: tuple[str, ...]) -> None:
        if (real := os.path.realpath(current)) in above:
            return  # a link to a folder that it is in
        for entry in sorted(each for each in current.iterdir() if counts(each.name)):
            name = f"{prefix}{entry.name}"
            if entry.is_symlink():
                digest.update(f"l {name} {entry.readlink()}\0".encode(errors="surrogateescape"))
            if entry.is_dir():
                digest.update(f"d {name}\0".encode(errors="surrogateescape"))
                add(entry, f"{name}/", (*above, real))
            elif entry.is_file():  # a socket or a pipe is nothing that Portage reads
                executable = "x" if entry.stat().st_mode & 0o111 else "-"
                line = f"f {name} {executable} {file_digest(entry)}\0"
                digest.update(line.encode(errors="surrogateescape"))

    if folder.is_dir():
        add(folder, "", ())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content, hexadecimal. Raises RepositoryError where something else is in its place."""
    return hashlib.sha256(reading.content(path)).hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
