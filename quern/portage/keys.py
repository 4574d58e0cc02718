"""What identifies a binary package of ours: everything that went into building it.

    key = its recipe  +  build variables  +  the tools it may use, Portage  +  the keys of all it was built with

emerge reuses a binary package after its ebuild, an eclass or a patch was edited without a new version; keys do not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quern import __version__
from quern.portage import reading

if TYPE_CHECKING:
    from quern.portage.plan import Package, Plan
    from quern.portage.tools import MachineIdentity

NOTHING = hashlib.sha256().hexdigest()  # the `tree_digest` of a folder that is empty, or not there
UNCONFINED = "unconfined "  # how a machine's row begins that says for which work folder alone its packages are
VERSION = 4  # part of every key: raise it when quern builds the same inputs into other bytes


def package_keys(plan: Plan, machine: MachineIdentity) -> dict[str, str]:
    """The key of every package of the plan, by cpv: 64 hexadecimal digits.

    `machine` identifies what is not in the repositories: the tools, Portage, a builder image.
    """
    return ingredients(plan, machine).keys()


class Ingredients(NamedTuple):
    """Everything that the packages of a plan are built from; their keys are its digests.

    `variables` and `machine` are the same for all; by id, `recipes` are what each package has of its own, `closures`
    what it is built with (ids), `cuts` what is left out of that because it is built later, and `tools` identifies
    those tools of the machine that not all may use; `written` is how quern wrote packages then, and `quern` the
    release that did, which is in no key.
    """

    variables: dict[str, str]
    machine: list[str]
    recipes: dict[str, dict[str, Any]]
    closures: dict[str, list[str]]
    cuts: dict[str, list[str]]
    written: list[Any]
    tools: dict[str, list[str]]
    quern: str

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
        common = self._common()
        keys: dict[str, bytes] = {}
        for name in self._order():
            keys[name] = self._digest_of(name, common, keys)
        return {name: key.hex() for name, key in keys.items()}

    def _order(self) -> Iterable[str]:
        """All ids, each after those that it is built with. Raises ValueError if that goes round."""
        found: dict[str, None] = {}
        left = list(self.closures)
        while left:  # once, where they are in such an order
            todo, left = left, []
            for name in todo:
                if all(map(found.__contains__, self.closures[name])):
                    found[name] = None
                else:
                    left.append(name)
            if len(left) == len(todo):
                raise ValueError(f"what packages are built with goes round: {', '.join(sorted(left))}")
        return found

    def contents_digest(self, name: str, contents: Mapping[str, bytes]) -> str:
        """A digest of all that the package `name` (an id) is built from: 64 hexadecimal digits.

        Where its key has the keys of what it is built with, this has their `contents`: by id, the SHA-256 of each
        binary package. Packages for which it is the same are the same.
        """
        return self._digest_of(name, f"contents {self._common()}", contents).hex()

    def _common(self) -> str:
        """A digest of what is the same for all."""
        return _digest([self.written, sorted(self.variables.items()), self.machine])

    def _digest_of(self, name: str, common: str, built_with: Mapping[str, bytes]) -> bytes:
        """A digest of what one package is built from; `built_with` has 32 bytes for each package, by id."""
        own = [common, is_for_host(name), self.recipes[name], self.cuts[name], self.tools.get(name, [])]
        digest = hashlib.sha256(_json(own))
        digest.update(b"".join(map(built_with.__getitem__, self.closures[name])))
        return digest.digest()

    def behind(self) -> dict[str, list[str]]:
        """By id, what each package depends on (ids): what it is built with, what that is built with, and so on."""
        found: dict[str, int] = {}  # each id a bit: of 600 packages most have hundreds behind them
        names = sorted(self.closures)
        bits = {name: 1 << number for number, name in enumerate(names)}
        for name in self._order():
            found[name] = reduce(or_, (bits[each] | found[each] for each in self.closures[name]), 0)
        return {name: [each for each in names if found[name] & bits[each]] for name in names}


def ingredients(plan: Plan, machine: MachineIdentity) -> Ingredients:
    """What the packages of the plan are built from; `machine` as for `package_keys`."""
    recipes = {package.id: recipe(package) for package in (*plan.packages, *plan.host)}
    inside, cut, order = plan.closures
    tools = {name: machine.of(names) for name, names in running(plan, machine.tools).items() if names}
    return Ingredients(
        dict(plan.variables),
        machine.rows,
        recipes,
        {name: inside[name] for name in order},
        dict(cut),
        _written(),
        tools,
        __version__,
    )


def running(plan: Plan, names: Collection[str]) -> dict[str, set[str]]:
    """By id: of the packages `names` (category/package) those whose phases or programs run while it is built.

    They do if they are itself, on the host side, or merged into ROOT with phases for that.
    """
    from quern.portage.root_plan import with_phases

    run = {package.id for package in plan.host} | with_phases(plan)
    named = {name: plan[name].name for name in plan.closures.inside if plan[name].name in names}
    run.intersection_update(named)
    return {
        name: {named[each] for each in (*run.intersection(inside), name) if each in named}
        for name, inside in plan.closures.inside.items()
    }


def _written() -> list[Any]:
    """What decides on a package's bytes besides its inputs: how quern writes it."""
    from quern.worker.gpkg_write import identity

    return [VERSION, identity()]


def is_confined(machine: Iterable[str]) -> bool:
    """Whether builds are confined there: what they build does not depend on where that is."""
    return not any(row.startswith(UNCONFINED) for row in machine)


def is_for_host(name: str) -> bool:
    """Whether an id is that of a package that is merged where emerge runs."""
    return name.startswith("/")


def read_ingredients(path: Path) -> Ingredients | None:
    """What `write_ingredients` wrote; None where there is nothing, or it was damaged."""
    try:
        data = json.loads(path.read_bytes())
        is_whole = data.pop("check") == _digest(data)
        return (
            Ingredients(**{"tools": {}, "quern": "an earlier version", **data}) if is_whole else None
        )  # version 3 had neither
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
        "files": tree_digest(folder / "files", contained=True),
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


def tree_digest(folder: Path, counts: Callable[[str], bool] = bool, contained: bool = False) -> str:
    """A digest of the names, kinds, executable bits and content below `folder`; of nothing if it is not there.

    A link counts as its text and as what it points to, which Portage reads; a name for which `counts` is false, not.
    With `contained`, a link that leads out of the folder counts as a copy of what it points to (see `tree`).
    """
    digest = hashlib.sha256()
    for entry in tree(folder, counts, contained):
        if entry.link is not None:
            line = f"l {entry.name} {entry.link}"
        elif entry.is_folder:
            line = f"d {entry.name}"
        else:
            executable = "x" if entry.path.stat().st_mode & 0o111 else "-"
            line = f"f {entry.name} {executable} {file_digest(entry.path)}"
        digest.update(f"{line}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


class Entry(NamedTuple):
    """Something below a folder: a link with the text `link`, a folder, or else a file.

    `name` is relative to the folder; `behind` says that it is there because a link leads to it, given before.
    """

    name: str
    path: Path
    link: str | None = None
    is_folder: bool = False
    behind: bool = False


def tree(folder: Path, counts: Callable[[str], bool] = bool, contained: bool = False) -> Iterator[Entry]:
    """What is below `folder`, sorted, folders before their content: links, and then what they lead to.

    With `contained`, a link that leads out of the folder is not given, only what it leads to, in its place.
    """
    top = os.path.realpath(folder)

    def below(current: Path, prefix: str, above: tuple[str, ...], behind: bool) -> Iterator[Entry]:
        if (real := os.path.realpath(current)) in above:
            return  # a link to a folder that it is in
        for path in sorted(each for each in current.iterdir() if counts(each.name)):
            name, followed = f"{prefix}{path.name}", behind
            if path.is_symlink() and not (contained and _leads_out(name, path, top)):
                yield Entry(name, path, str(path.readlink()), behind=behind)
                followed = True
            if path.is_dir():
                yield Entry(name, path, is_folder=True, behind=followed)
                yield from below(path, f"{name}/", (*above, real), followed)
            elif path.is_file():  # a socket or a pipe is nothing that Portage reads
                yield Entry(name, path, behind=followed)

    if folder.is_dir():
        yield from below(folder, "", (), behind=False)


def _leads_out(name: str, link: Path, top: str) -> bool:
    """Whether the link `name` below the folder `top` would lead elsewhere, or through elsewhere, in a copy of it."""
    text = os.readlink(link)
    depth = name.count("/")
    for part in text.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return text.startswith("/") or not f"{os.path.realpath(link)}/".startswith(f"{top}/")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's content, hexadecimal. Raises RepositoryError where something else is in its place."""
    return hashlib.sha256(reading.content(path)).hexdigest()


def _digest(value: object) -> str:
    return hashlib.sha256(_json(value)).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
