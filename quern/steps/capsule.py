"""What a failed build leaves for its user: one message, and a record for the shell that `shell:NAME` opens there.

STAGING/
  scratch/NAME/shell.json    what failed, and the environment of its emerge
  own/NAME/tmp/              PORTAGE_TMPDIR, with the build folder of what failed

Staging belongs to no finished step, and the next run of its step removes it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from quern.errors import BuildError, PackageError
from quern.portage import emerge, failures, unknown_accounts
from quern.portage.failure import Failure, Kind
from quern.portage.repository import available_packages
from quern.portage.setup import STARTER
from quern.portage.tools import declared_tools
from quern.portage.tracebacks import condensed
from quern.steps.base import discard
from quern.steps.names import Names
from quern.terminal import harmless
from quern.worker import regular
from quern.worker.build import SOURCES

if TYPE_CHECKING:
    from quern.steps.emerging import Build

RECORD = "shell.json"
NO_NAMES = Names()
IN_FULL = 10  # failures; of more than that, the rest in a line each
LOG_SIZE = 1 << 20  # bytes that are read of a package's log
LOG_END = 20_000  # characters in which a cause is looked for
WITH_FOLDER = (Kind.PHASE, Kind.POSTINST, Kind.SPACE)  # what fails later than its build folder is made
MARKS = {"setup": ".setuped", "unpack": ".unpacked", "prepare": ".prepared", "configure": ".configured"}
MARKS |= {"compile": ".compiled", "install": ".installed"}
# groupadd(8) and useradd(8), EXIT VALUES; the last is what acct-group.eclass and acct-user.eclass say without them
NO_ACCOUNT_FILES = r"groupadd failed with status 10\b|useradd failed with status 10?\b|Unable to locate \w+ database"
# of the host side, which has none; it says nothing of the image's
NO_HOST_BINHOST = "!!! binrepos.conf is missing (or PORTAGE_BINHOST is unset), but use is requested.\n"


def error_of(build: Build, output: str, fetching: bool = False) -> BuildError:
    """The error to raise where emerge failed, from what it printed; keeps what a shell needs, where one can be had."""
    output, work = condensed(as_known(build, output)), build.setup.image.work
    repositories = build.setup.repositories()
    starter_only = all(repository.location in (STARTER, build.setup.overlay) for repository in repositories)
    profile = build.setup.stack().folders[-1]
    machine = failures.Machine(
        partial(_text, names=build.names), shutil.disk_usage(work).free, repositories, profile, str(work)
    )
    discard(_path(build), build.scratch, build.run)  # of an earlier failure
    undeclared = not build.setup.in_container and not declared_tools(each.location for each in repositories)
    found = failures.each(output, available_packages(repositories), starter_only, undeclared, machine=machine)
    reasons = [_reason(build, failure, text, fetching) for failure, text in found[:IN_FULL]]
    reasons += ["\n".join(failure.summary for failure, _ in found[IN_FULL:])] if found[IN_FULL:] else []
    reason = "\n\n".join(reasons) or _unknown(build, output, machine.free, fetching)
    if not found or not all(failure.log for failure, _ in found):
        reason += f"\nlog: {build.log}"
    failure = next((failure for failure, _ in found if failure.package and failure.kind in WITH_FOLDER), None)
    if failure is None or fetching:
        return BuildError(reason)
    if gone := _not_kept(build):
        return BuildError(f"{reason}\n{gone}")
    with suppress(OSError):  # a full disk; what failed is what is to be said
        _record(build, output, failure)
        return PackageError(reason)
    return BuildError(reason)


def as_known(build: Build, output: str) -> str:
    """What Portage printed, with files called as the user knows them: not as in a build, nor as our copies."""
    setup, output = build.setup, build.names.outside(output)
    for repository in setup.repositories():
        for seen in build.seen(repository):
            output = output.replace(f"{seen}/", f"{repository.location}/")
    if setup.has_overlay:
        output = output.replace(f"{setup.overlay}/profiles/", f"{setup.image.profiles}/")
    return output.replace(NO_HOST_BINHOST, "")


def _reason(build: Build, failure: Failure, text: str, fetching: bool) -> str:
    """Why a package failed, and what to do about it; `text` is where that was found."""
    log = _text(failure.log, build.names) if failure.log else ""  # with --quiet-build emerge itself shows none of it
    return str(failure) + ("" if fetching else _hints(build, text + log[-LOG_END:]))


def _unknown(build: Build, output: str, free: int, fetching: bool) -> str:
    """The last that emerge printed, where no cause is known."""
    last = "\n".join(output.rstrip().splitlines()[-20:])
    reason = f"emerge failed:\n{last}\n{failures.room(free)}".rstrip()
    return reason + ("" if fetching else _hints(build, output))


def _hints(build: Build, output: str) -> str:
    """What the place where emerge runs, and the image's options, have to do with what it printed: lines to append."""
    hints = [_no_skeleton(build, output), unknown_accounts.hint(output), build.run.driver.hint(output)]
    return "".join(f"\n{hint}" for hint in hints if hint)


def _no_skeleton(build: Build, output: str) -> str:
    """A sentence on accounts that cannot be added because the root has no account files; empty otherwise.

    Gentoo's acct-group and acct-user packages add theirs in pkg_preinst, and depend on nothing that makes the files.
    """
    if build.setup.image.settings.build.baselayout_atoms or not re.search(NO_ACCOUNT_FILES, output):
        return ""
    return (
        "The image has no /etc/passwd and /etc/group yet: acct-* packages do not depend on what installs these files.\n"
        "Have that merged first: [build] baselayout_atoms = sys-apps/baselayout"
    )


def _not_kept(build: Build) -> str:
    """A sentence on the build folder, where it is gone; empty where it is kept."""
    image = build.setup.image
    if not image.settings.build.keep_failed:
        return "Its build folder is not kept: build.keep_failed = off"
    if build.setup.in_container and image.settings.docker.workdir_storage.size:
        return "Its build folder went with the memory of its container: docker.workdir_storage = folder keeps it"
    return ""


def _record(build: Build, output: str, failure: Failure) -> None:
    """Write down what a shell in the build folder needs."""
    around = build.surroundings
    # of a package for the host side no root is named
    line = rf"^>>> Emerging (binary )?\(\d+ of \d+\) {re.escape(str(failure.package))}::(\S+)( for \S+)?"
    begun = next(iter(reversed([*re.finditer(line, output, re.M)])), None)  # it may be built with itself
    on_host = bool(begun and not begun[3])
    changed = {**build.environment(binhosts=False), **(emerge.host_only(around) if on_host else {})}
    if build.own:
        changed["DISTDIR"] = str(build.inside(build.own / SOURCES))
    record = {
        "package": failure.package,
        "repository": begun[2] if begun else None,
        "name": build.name,
        "folder": str(build.tmp),
        "phase": failure.phase or _phase(build.tmp / "portage" / str(failure.package)),
        "host": on_host,
        "merge": "binary" if begun and begun[1] else "buildonly",
        "environment": {name: value for name, value in changed.items() if value is not None},
        "root": str(build.root),
        "settings": around.host_settings() if around.gentoo else "",
        "python": build.machine.python,
        "driver": build.setup.image.settings.build.driver,
        "readable": [str(path) for path in build.reach().readable],
        "recipe": str(build.recipe) if build.recipe else None,
        "names": build.names.as_json(),
    }
    path = _path(build)
    new = path.with_name(f"{path.name}.new")
    discard(new, build.scratch, build.run)  # what failed may have put a link there
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(record, file)
    new.rename(path)


def _path(build: Build) -> Path:
    """Where the record is: the build cannot write there."""
    return build.inputs / RECORD


def _phase(folder: Path) -> str:
    """The phase that did not end: the first of which Portage has not written that it did."""
    try:
        ended = {path.name for path in folder.iterdir()}
    except OSError:  # in a volume of docker's, or root's
        return "compile"
    return next((phase for phase, mark in MARKS.items() if mark not in ended), "install")


def _text(path: str, names: Names = NO_NAMES) -> str:
    """The end of a package's log; empty where there is none. Its path is from emerge's output, which others write."""
    try:
        return condensed(names.outside(harmless(regular.end(path, LOG_SIZE).decode(errors="replace"))))
    except (OSError, ValueError):
        return ""
