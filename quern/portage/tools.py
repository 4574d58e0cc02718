"""The machine's programs that a build uses: declared by the repositories, found, checked, and identified.

What a build takes from the machine is declared, tool by tool, in the repository's `metadata/quern-tools`, and checked
before anything is built. A tool is part of the key of each package that may use it: all of them, or those that its line
names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quern.errors import DriverError, RepositoryError
from quern.portage import reading
from quern.portage.linked import Linked

TOOLS = "metadata/quern-tools"  # in a repository: tool<TAB>Debian package<TAB>what needs it
COMPILER = ("/usr/lib/gcc", "/usr/libexec/gcc")  # gcc's own files; Debian 13 has the programs in the second
TOOLCHAIN = "toolchain"  # in the starter: files to be put on the build's PATH
_NAMES = re.compile(r"[\w][\w+.-]*/[\w][\w+-]*(, [\w][\w+.-]*/[\w][\w+-]*)*", re.ASCII)  # category/package (PMS 3.1)


class Tool(NamedTuple):
    """A program of the machine that a build uses."""

    name: str
    debian: str
    needed_by: str

    @property
    def packages(self) -> frozenset[str]:
        """The packages (category/package) that alone may use it; empty if all may."""
        return frozenset(self.needed_by.split(", ")) if _NAMES.fullmatch(self.needed_by) else frozenset()


class MachineIdentity(NamedTuple):
    """What identifies the place where packages are built.

    `rows` are about what all packages may use, `tools` about what only some may besides, by category/package.
    """

    rows: list[str]
    tools: Mapping[str, list[str]] = {}

    def of(self, names: Iterable[str]) -> list[str]:
        """The rows of the tools that these packages may use and others may not, sorted."""
        return sorted({row for name in names for row in self.tools.get(name, ())})

    def every_row(self) -> list[str]:
        """All rows."""
        return [*self.rows, *self.of(self.tools)]


def declared_tools(repositories: Iterable[Path]) -> list[Tool]:
    """The tools that the repositories at these paths declare, each once; a repository need not declare any.

    What several repositories declare is needed by all that they name. Raises RepositoryError.
    """
    tools: dict[str, Tool] = {}
    for repository in repositories:
        try:
            text = reading.text(repository / TOOLS)
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            if line.strip() and not line.startswith("#"):
                words = line.split("\t")
                if len(words) != 3 or "/" in words[0]:
                    raise RepositoryError(
                        f"{repository / TOOLS}: expected TOOL<TAB>PACKAGE<TAB>NEEDED BY, got {line!r}"
                    )
                tool = Tool(*words)
                if known := tools.get(tool.name):
                    tool = known._replace(needed_by=f"{known.needed_by}, {tool.needed_by}")
                tools[tool.name] = tool
    return list(tools.values())


def usable(tools: Iterable[Tool], names: Collection[str]) -> list[Tool]:
    """Those of `tools` that the packages `names` (category/package) may use."""
    return [tool for tool in tools if not tool.packages or not tool.packages.isdisjoint(names)]


def not_usable(tools: Iterable[Tool], usable: Collection[Tool], path: str, spared: Iterable[Path]) -> list[Path]:
    """The files of those `tools` that are not among the `usable` ones, unless one of these is the same file.

    Nor is a file of `spared` among them. Raises DriverError as `found_tools`.
    """
    found = {name: file.resolve() for name, file in found_tools(tools, path).items()}
    names = {tool.name for tool in usable}
    return sorted(set(found.values()) - {found[name] for name in names} - {file.resolve() for file in spared})


def found_tools(tools: Iterable[Tool], path: str) -> dict[str, Path]:
    """Where each tool is on the search path `path`. Raises DriverError naming all that are missing."""
    wanted = {tool.name: tool for tool in tools}
    found: dict[str, Path] = {}
    for folder in path.split(os.pathsep):  # each listed once: this is asked at every run, for some seventy tools
        for name in _names(folder) & (wanted.keys() - found.keys()):
            file = Path(folder, name)
            if file.is_file() and os.access(file, os.X_OK):
                found[name] = file
    missing = [tool for name, tool in wanted.items() if name not in found]
    if missing:
        raise DriverError(missing_message(missing))
    return found


def _names(folder: str) -> set[str]:
    """What is in a folder of a search path; nothing if it is not there, and of the empty one, which is the current."""
    try:
        return set(os.listdir(folder)) if folder else set()
    except OSError:
        return set()


def missing_message(missing: Sequence[Tool]) -> str:
    """What to tell the user about tools that are not there."""
    width = max(len(tool.name) for tool in missing)
    rows = "\n".join(f"  {t.name:{width}}  Debian package {t.debian}, needed by {t.needed_by}" for t in missing)
    packages = " ".join(sorted({tool.debian for tool in missing}))
    return f"tools that the build needs are missing:\n{rows}\nOn Debian: apt-get install {packages}"


def identity(tools: Iterable[Tool], found: Mapping[str, Path], linked: Linked) -> MachineIdentity:
    """What identifies the tools, each found at the path `found` has for its name, and the compiler behind `gcc`.

    The libraries of a program, which are looked up in `linked`, are part of it.
    """
    common, special = set[str](), dict[str, set[str]]()  # paths: making Path objects of all costs more than stat(2)
    for tool in tools:
        file = os.path.realpath(found[tool.name])
        for name in tool.packages:
            special.setdefault(name, set()).add(file)
        if not tool.packages:
            common.add(file)
    compiler = ("cc1", "collect2", "lto1", "libgcc*.a", "crt*.o")
    found_there = (file for folder in COMPILER for name in compiler for file in Path(folder).glob(f"*/*/{name}"))
    common.update(map(os.path.realpath, found_there))
    common |= linked.of(common)
    return MachineIdentity(
        _rows(common), {name: _rows(files | linked.of(files) - common) for name, files in special.items()}
    )


def _rows(files: Iterable[str]) -> list[str]:
    """Path, size in bytes and time of each file, sorted.

    A distribution's package fixes all three, and reading 40 MB of compiler at every no-op would cost more than
    everything else together.
    """
    rows = []
    for file in sorted(files):
        stat = os.stat(file)
        rows.append(f"{file} {stat.st_size} {int(stat.st_mtime)}")
    return rows
