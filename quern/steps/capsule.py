"""What a failed build leaves for its user: one message, and a record for the shell that `shell:NAME` opens there.

STAGING/scratch/
  shell.json    what failed, and the environment of its emerge
  tmp/          PORTAGE_TMPDIR, with the build folder of what failed

Staging belongs to no finished step, and the next run of its step removes it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from quern.errors import BuildError, PackageError
from quern.portage import failures
from quern.portage.failure import Failure, Kind
from quern.portage.repository import available_packages
from quern.portage.setup import STARTER
from quern.portage.tracebacks import condensed
from quern.steps.base import discard
from quern.terminal import harmless

if TYPE_CHECKING:
    from quern.steps.emerging import Build

RECORD = "shell.json"
LOG_END = 20_000  # characters in which a cause is looked for
WITH_FOLDER = (Kind.PHASE, Kind.POSTINST, Kind.SPACE)  # what fails later than its build folder is made
MARKS = {"setup": ".setuped", "unpack": ".unpacked", "prepare": ".prepared", "configure": ".configured"}
MARKS |= {"compile": ".compiled", "install": ".installed"}
SECRETS = ("PORTAGE_BINHOST", "FETCHCOMMAND", "RESUMECOMMAND")  # for fetching: addresses may hold a password


def error_of(build: Build, output: str, fetching: bool = False) -> BuildError:
    """The error to raise where emerge failed, from what it printed; keeps what a shell needs, where one can be had."""
    output, work = condensed(output), build.setup.image.work
    repositories = build.setup.repositories()
    starter_only = all(repository.location in (STARTER, build.setup.overlay) for repository in repositories)
    machine = failures.Machine(_text, shutil.disk_usage(work).free, str(work))
    failure = failures.explain(output, available_packages(repositories), starter_only, machine)
    reason = _reason(output, failure, machine.free)
    log = _text(failure.log) if failure and failure.log else ""  # with --quiet-build emerge itself shows none of it
    if not fetching and (hint := build.run.driver.hint(output + log[-LOG_END:])):
        reason += f"\n{hint}"
    if not failure or not failure.log:
        reason += f"\nlog: {build.log}"
    if failure is None or failure.package is None or failure.kind not in WITH_FOLDER:
        return BuildError(reason)
    if gone := _not_kept(build):
        return BuildError(f"{reason}\n{gone}")
    with suppress(OSError):  # a full disk; what failed is what is to be said
        _record(build, output, failure)
        return PackageError(reason)
    return BuildError(reason)


def _reason(output: str, failure: Failure | None, free: int) -> str:
    """Why emerge failed and what to do about it."""
    if failure:
        return str(failure)
    last = "\n".join(output.rstrip().splitlines()[-20:])
    return f"emerge failed:\n{last}\n{failures.room(free)}".rstrip()


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
    environment = {name: value for name, value in around.environment().items() if name not in SECRETS}
    # of a package for the host side no root is named
    line = rf"^>>> Emerging (binary )?\(\d+ of \d+\) {re.escape(str(failure.package))}::(\S+)( for \S+)?"
    begun = re.search(line, output, re.M)
    record = {
        "package": failure.package,
        "repository": begun[2] if begun else None,
        "phase": failure.phase or _phase(build.scratch / "tmp/portage" / str(failure.package)),
        "host": bool(begun and not begun[3]),
        "merge": "binary" if begun and begun[1] else "source",
        "environment": environment,
        "settings": around.host_settings() if around.gentoo else "",
        "python": build.machine.python,
        "driver": build.setup.image.settings.build.driver,
        "readable": [str(path) for path in build.reach().readable],
    }
    new = build.scratch / f"{RECORD}.new"
    discard(new, build.scratch, build.run)  # what failed may have put a link there
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(record, file)
    new.rename(build.scratch / RECORD)


def _phase(folder: Path) -> str:
    """The phase that did not end: the first of which Portage has not written that it did."""
    try:
        ended = {path.name for path in folder.iterdir()}
    except OSError:  # in a volume of docker's, or root's
        return "compile"
    return next((phase for phase, mark in MARKS.items() if mark not in ended), "install")


def _text(path: str) -> str:
    """The text of a package's log; empty where there is none. Its path is from emerge's output, which others write."""
    try:
        return condensed(harmless(Path(path).read_text(errors="replace"))) if Path(path).is_file() else ""
    except (OSError, ValueError):
        return ""
