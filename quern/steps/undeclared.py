"""Says who has a file which a failed build did not find: a package of the plan, or this machine.

A package is built with what its ebuild declares and nothing else; where a build fails for want of a header, a library,
a program or a pkg-config file, another package of the plan may have it. A program may also be a tool of the machine
that quern-tools declares, for other packages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from quern.errors import naming
from quern.portage.plan import Package
from quern.portage.tools import Tool
from quern.worker import WorkerError, gpkg

TOOL = "{tool.name} is declared for {packages} alone; a line in {file} gives it to {package}:\n  {line}"
HINT = "{name} is in {owner}, which is no dependency of {package}: DEPEND or BDEPEND of its ebuild should name it"
# what programs print of something that they did not find, and the end of its path: gcc, ld, pkg-config, bash, sh
NOT_FOUND = (
    (r"fatal error: ([\w.+/-]+): No such file or directory", "/{0}"),
    (r"cannot find -l([\w.+-]+)", r"/lib{0}\.(?:so(?:\.[\d.]+)?|a)"),
    (r"Package '?([\w.+-]+?)'?(?:, required by .*,)? (?:was )?not found", r"/{0}\.pc"),
    (r"No package '([\w.+-]+)' found", r"/{0}\.pc"),
    (r"(?<![\w.+-])([\w.+-]{1,100}): command not found", "/s?bin/{0}"),
    (r"(?<![\w.+-])([\w.+-]{1,100}): not found$", "/s?bin/{0}"),
    (r"/([\w.+-]{1,100}): (?:bad interpreter: )?Permission denied$", "/s?bin/{0}"),
    (r"env: \W?([\w.+-]{1,100})\W?: (?:No such file or directory|Permission denied)$", "/s?bin/{0}"),
    (r"^make(?:\[\d+\])?: ([\w.+-]+): No such file or directory", "/s?bin/{0}"),
)
SHOWN = 3  # hints


class Missing(NamedTuple):
    """What was not found: its name, and a pattern for the paths that would satisfy it."""

    name: str
    path: re.Pattern[str]


def missing(log: str) -> list[Missing]:
    """What a build's log says was not found, each once, in order."""
    found: dict[str, Missing] = {}
    for text, path in NOT_FOUND:
        for match in re.finditer(text, log, re.M):
            end = path.replace("{0}", re.escape(match[1]))
            found.setdefault(match[1], Missing(match[1], re.compile(f".*{end}")))
    return list(found.values())


def tool_hints(log: str, package: Package, tools: Iterable[Tool], file: str) -> list[str]:
    """A hint for each of `tools` that the log of `package` says was not found; quern-tools of its tree is `file`."""
    wanted = {each.name for each in missing(log)}
    found = [tool for tool in tools if tool.name in wanted]
    lines = [f"{tool.name}<TAB>{tool.debian}<TAB>{package.name}" for tool in found]
    return [
        TOOL.format(tool=tool, packages=", ".join(sorted(tool.packages)), file=file, package=package.name, line=line)
        for tool, line in zip(found, lines, strict=True)
    ][:SHOWN]


def hints(log: str, package: Package, others: Iterable[Package], files: Mapping[str, Path]) -> Iterator[str]:
    """A line for each thing that the log of `package` says was not found and one of `others` has.

    `files` are their binary packages, by cpv, as far as they are built.
    """
    wanted = missing(log)[:SHOWN]
    for other in others:
        if not wanted or other.cpv not in files:
            continue
        names = list(_names(files[other.cpv]))
        for each in list(wanted):
            if any(each.path.fullmatch(name) for name in names):
                yield HINT.format(name=each.name, owner=other.cpv, package=package.cpv)
                wanted.remove(each)


def _names(file: Path) -> Iterator[str]:
    """The paths that a binary package installs; none if it is damaged."""
    try:
        with naming(file), gpkg.opened(str(file)) as package:
            for member in package.image:
                if not member.isdir():
                    yield f"/{member.name.removeprefix(package.prefix).lstrip('/')}"
    except WorkerError:
        return
