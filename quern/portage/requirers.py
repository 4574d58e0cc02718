"""Why a package is installed: the lines that ask for packages, and the run-time dependencies between these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from quern.portage import profile_files
from quern.portage.atom import package_of
from quern.portage.lockfile import Locked


class Request(NamedTuple):
    """A line that asks for a package: its place (FILE:LINE), the atom there, and the folder of the profile, if any."""

    place: str
    atom: str
    folder: Path | None = None


class Chain(NamedTuple):
    """A request, and the packages (cpvs) from the one it asks for to the one in question, each needing the next."""

    request: Request
    packages: list[str]


class Requirers(NamedTuple):
    """By cpv: what each installed package needs to run, and the lines that ask for it."""

    needs: Mapping[str, Sequence[str]]
    requests: Mapping[str, Sequence[Request]]

    def chains(self, cpv: str) -> list[Chain]:
        """The shortest chain to the package from each line that it is installed for, the shortest first."""
        next_one = {cpv: ""}  # towards the package in question
        todo = [cpv]
        for each in todo:
            for other in sorted(self.needs):
                if each in self.needs[other] and other not in next_one:
                    next_one[other] = each
                    todo.append(other)
        found = []
        for each in todo:
            packages = [each]
            while following := next_one[packages[-1]]:
                packages.append(following)
            found += [Chain(request, packages) for request in self.requests.get(each, ())]
        return found

    def leaving(self, places: Collection[str]) -> list[str]:
        """The packages that would not be installed without the lines at `places`, sorted."""
        return sorted(self._reached(lambda place: True) - self._reached(lambda place: place not in places))

    def _reached(self, counts: Callable[[str], bool]) -> set[str]:
        todo = [cpv for cpv, found in self.requests.items() if any(counts(each.place) for each in found)]
        reached: set[str] = set()
        while todo:
            cpv = todo.pop()
            if cpv not in reached:
                reached.add(cpv)
                todo += self.needs.get(cpv, ())
        return reached


def requests(folders: Sequence[Path], atoms: Collection[str]) -> list[Request]:
    """The lines of `packages` files that ask for `atoms`; `folders` are those of the profile, parents first.

    Lines that a later one takes back are left out (PMS 5.2).
    """
    found: dict[str, list[Request]] = {}
    for folder in dict.fromkeys(folders):
        for line in profile_files.lines(folder / "packages"):
            if line.text == "-*":
                found.clear()
            elif line.text.startswith("-"):
                found.pop(line.text[1:], None)
            else:
                found.setdefault(line.text, []).append(Request(line.place, line.text.removeprefix("*"), folder))
    return [request for text, lines in found.items() if text.removeprefix("*") in atoms for request in lines]


def asked(found: Sequence[Request], packages: Sequence[Locked]) -> dict[str, list[Request]]:
    """The requests for each of the installed packages, by cpv: those of its name, and its slot if they have one."""
    answered: dict[str, list[Request]] = {}
    for package in packages:
        slot = package.slot.split("/")[0]
        fitting = [each for each in found if package_of(each.atom) == package.name and _slot(each.atom) in ("", slot)]
        if fitting:
            answered[package.cpv] = fitting
    return answered


def _slot(atom: str) -> str:
    """The slot that an atom asks for; empty where any will do."""
    slot = atom.partition("[")[0].partition("::")[0].partition(":")[2]
    return slot.partition("/")[0].rstrip("=*")
