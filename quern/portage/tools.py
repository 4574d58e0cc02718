"""The machine's programs that a build uses: declared by the repositories, found, checked, and identified.

What a build takes from the machine is declared, tool by tool, in the repository's `metadata/quern-tools`, checked
before anything is built, and part of every package's key.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from quern.errors import DriverError, RepositoryError
from quern.portage import reading

TOOLS = "metadata/quern-tools"  # in a repository: tool<TAB>Debian package<TAB>what needs it
COMPILER = ("/usr/lib/gcc", "/usr/libexec/gcc")  # gcc's own files; Debian 13 has the programs in the second
TOOLCHAIN = "toolchain"  # in the starter: files to be put on the build's PATH


class Tool(NamedTuple):
    """A program of the machine that a build uses."""

    name: str
    debian: str
    needed_by: str


def declared_tools(repositories: Iterable[Path]) -> list[Tool]:
    """The tools that the repositories at these paths declare, each once; a repository need not declare any.

    Raises RepositoryError.
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
                tools.setdefault(words[0], Tool(*words))
    return list(tools.values())


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


def tools_identity(tools: dict[str, Path]) -> list[str]:
    """What identifies the tools and the compiler behind `gcc`: path, size in bytes and time of each file.

    A distribution's package fixes all three, and reading 40 MB of compiler at every no-op would cost more than
    everything else together.
    """
    files = {path.resolve() for path in tools.values()}
    for folder in COMPILER:
        for pattern in ("cc1", "collect2", "lto1", "libgcc*.a", "crt*.o"):
            files.update(Path(folder).glob(f"*/*/{pattern}"))
    rows = []
    for file in sorted(files):
        stat = file.stat()
        rows.append(f"{file} {stat.st_size} {int(stat.st_mtime)}")
    return rows
