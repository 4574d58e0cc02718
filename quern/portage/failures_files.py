"""What repositories, profiles and sources themselves show of a failure, where emerge names another reason."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from quern.errors import QuernError, display
from quern.portage import atom, reading
from quern.portage.failure import Failure, Kind
from quern.portage.failures_building import Machine
from quern.portage.failures_ebuilds import NO_ECLASS
from quern.portage.failures_resolving import NO_QUOTE
from quern.portage.repository import LAYOUT, Repository, categories
from quern.worker.special import instead

DENIED = "Permission denied"
_FILE = re.compile(r"(?P<file>\S+\.(?:ebuild|eclass|sh))(?::\d+)?: ")


def completed(failure: Failure, output: str, machine: Machine) -> Failure:
    """Name the file that is the cause, if a look at the files shows it; else the failure as it is."""
    if failure.kind is Kind.UNSATISFIED:
        return _unlisted(failure, machine.repositories) or _misnamed(failure, machine.repositories) or failure
    if failure.kind is Kind.EBUILD:
        failure = _placed(failure, machine.repositories)
        return _binary(failure) or _eclass(failure, machine.repositories) or failure
    if failure.kind is Kind.PROFILE:
        return _unclosed(failure) or _without_arch(failure, machine.profile) or failure
    return failure


def _folders(package: str, repositories: Sequence[Repository]) -> Iterator[tuple[Repository, Path]]:
    """Give the folders of a package (category/package), each with its repository."""
    for repository in repositories:
        if (folder := repository.location / package).is_dir():
            yield repository, folder


def _unlisted(failure: Failure, repositories: Sequence[Repository]) -> Failure | None:
    """Find a package that is there, in a category that no repository lists (PMS 4.4)."""
    package = atom.package_of(str(failure.package)) or ""
    category = package.partition("/")[0]
    if any(category in categories(repository) for repository in repositories):
        return None
    for repository, folder in _folders(package, repositories):
        file = display(repository.profiles / "categories")
        summary = f"{file}: the category {category} is not listed, so that Portage does not see {display(folder)}"
        return replace(failure, summary=summary, hint=f"Write a line `{category}` into that file.")
    return None


def _misnamed(failure: Failure, repositories: Sequence[Repository]) -> Failure | None:
    """Find ebuilds that Portage passes over: by a wrong name, a link to nothing, or because they cannot be read."""
    package = atom.package_of(str(failure.package)) or ""
    wanted = f"{package.rpartition('/')[2]}-VERSION.ebuild"
    problems = [each for _, folder in _folders(package, repositories) for each in _problems(folder, package, wanted)]
    if not problems:
        return None
    reasons = (*problems[1:], f"no other ebuild fits {failure.package}", *failure.reasons)
    hint = "Whoever builds must be able to read it." if DENIED in problems[0] else "Correct the file or its name."
    return replace(failure, summary=problems[0], reasons=reasons, hint=hint)


def _problems(folder: Path, package: str, wanted: str) -> Iterator[str]:
    """Say what is wrong with files of a package's folder that are meant to be ebuilds, or that there is none."""
    try:
        paths = sorted(folder.iterdir())
    except PermissionError:
        yield f"{display(folder)}: {DENIED}"
        return
    if not any(".ebuild" in path.name for path in paths):
        yield f"{display(folder)}: expected a file {wanted}, there is none"
    for path in paths:
        stem, dot, rest = path.name.partition(".ebuild")
        version = stem.removeprefix(f"{package.rpartition('/')[2]}-")
        if not dot:
            continue
        if rest or version == stem or atom.problem_of_version(f"{package}-{version}"):
            yield f"{display(path)}: expected a name {wanted}"
        elif not path.exists():
            yield f"{display(path)}: a link to {path.readlink()}, which is not there"
        elif not os.access(path, os.R_OK):
            yield f"{display(path)}: {DENIED}"


def _placed(failure: Failure, repositories: Sequence[Repository]) -> Failure:
    """Name the ebuild where the reason names no file."""
    head = f"{failure.package} cannot be used: "
    cpv = str(failure.package)
    package = atom.package_of(f"={cpv}") or ""
    for _, folder in _folders(package, repositories) if not _FILE.search(failure.summary) else ():
        ebuild = folder / f"{cpv.rpartition('/')[2]}.ebuild"
        if ebuild.exists():
            return replace(failure, summary=f"{head}{display(ebuild)}: {failure.summary.removeprefix(head)}")
    return failure


def _binary(failure: Failure) -> Failure | None:
    """Find that what cannot be read is no text."""
    file = _FILE.search(failure.summary)
    try:
        if not file or b"\0" not in reading.content(Path(file["file"])):
            return None
    except (OSError, QuernError):  # that is the reason, and is said
        return None
    summary = f"{failure.package} cannot be used: {file['file']}: expected text, got binary data"
    return replace(failure, summary=summary, hint="It is no ebuild: put the text there that it is meant to have.")


def _eclass(failure: Failure, repositories: Sequence[Repository]) -> Failure | None:
    """Find an eclass that is there, but is no file, or not in a repository that the ebuild's builds upon."""
    name = NO_ECLASS.search(failure.summary)
    for repository in repositories if name else ():
        path = repository.location / "eclass" / f"{name[1]}.eclass" if name else Path()
        if kind := instead(path):
            return replace(failure, hint=f"{display(path)}: expected a file, got {kind}")
        if path.is_file():
            layout = f"`masters` in {LAYOUT} of the ebuild's repository is to name {repository.name}."
            return replace(failure, hint=f"The repository {repository.name} has this eclass: {layout}")
    return None


def _unclosed(failure: Failure) -> Failure | None:
    """Say where the quotation begins that is not closed; Portage says where the file ends."""
    place, found, _ = failure.summary.rpartition(f": {NO_QUOTE}")
    file = Path(place.rpartition(":")[0])
    if not found or not file.is_file():
        return None
    lex = shlex.shlex(reading.text(file), posix=True)
    lex.wordchars += r"~!@#$%*\:;?,./-+{}"  # as portage.util.getconfig does
    try:
        while lex.get_token() is not None:
            pass
    except ValueError:
        line = lex.lineno - lex.token.count("\n")
        summary = f"{display(file)}:{line}: the quotation that begins here is not closed"
        return replace(failure, summary=summary, hint="Close it; the profile is not usable until then.")
    return None


def _without_arch(failure: Failure, folder: Path | None) -> Failure | None:
    """Name the profile that sets no ARCH, and whether that is because it inherits nothing."""
    if folder is None or "ARCH" not in failure.summary:
        return None
    lone = "" if (folder / "parent").exists() else ", and it has no file `parent` to inherit it by"
    return replace(failure, summary=f"{display(folder)}: the profile sets no ARCH in make.defaults{lone}")
