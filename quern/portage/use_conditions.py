"""Which USE flags bring a dependency: the conditions before it in RDEPEND and the like (PMS 8.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from quern.portage.atom import package_of
from quern.worker import regular

RUN_TIME = ("RDEPEND", "PDEPEND", "IDEPEND")
LARGEST = 1 << 20  # bytes of the metadata of one ebuild


def flags(dependencies: str, name: str, enabled: Collection[str]) -> list[str]:
    """The USE flags that a dependency on the package `name` hangs on; one that has to be off has a hyphen before it.

    `enabled` are the flags that are on. Empty where there is a dependency without a condition, or none that counts.
    """
    guards = [guard for guard, atom in _atoms(dependencies.split()) if package_of(atom) == name]  # of no blocker
    counting = [guard for guard in guards if all(_holds(flag, enabled) for flag in guard)]
    return counting[0] if counting and all(counting) else []


def _holds(flag: str, enabled: Collection[str]) -> bool:
    return flag[1:] not in enabled if flag.startswith("-") else flag in enabled


def _atoms(words: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """Each atom, with the flags of all groups that it is in."""
    groups: list[str] = []
    condition = ""
    for word in words:
        if word == "(":
            groups.append(condition)
            condition = ""
        elif word == ")":
            del groups[-1:]
        elif word.endswith("?"):
            condition = f"-{word[1:-1]}" if word.startswith("!") else word[:-1]
        elif word not in ("||", "^^", "??"):
            yield [flag for flag in groups if flag], _without_use(word)


def _without_use(atom: str) -> str:
    """USE dependencies of dependencies have forms that those of profiles lack: `[ssl?]`."""
    return atom.partition("[")[0]


def run_time(files: Iterable[Path]) -> str:
    """The run-time dependencies as the ebuild has them, of the first metadata file that is there; empty without one.

    The installed database has them without their conditions.
    """
    for file in files:
        try:
            text = regular.content(file, LARGEST).decode(errors="replace")
        except OSError:
            continue
        pairs = (line.partition("=") for line in text.splitlines())
        return " ".join(value for name, _, value in pairs if name in RUN_TIME)
    return ""
