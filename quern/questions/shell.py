"""shell:NAME: a shell where the build of a package failed, as that package saw it.

Whatever is done there reaches no later build: it may write to what its step has left, and the step's next run begins
by removing that. Until the shell is left, a build of the image waits.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from quern.drivers import terminal
from quern.drivers.base import Command
from quern.drivers.confinement import WORKER
from quern.errors import BuildError, ConfigError
from quern.interrupts import Ended, heard
from quern.project import Image
from quern.steps import names
from quern.steps.base import Run
from quern.steps.capsule import RECORD
from quern.steps.chain import STEPS
from quern.steps.lock import locked
from quern.steps.receipt import Place
from quern.worker import regular

NOTHING = "no package of {image} has failed, or nothing is left of it: a shell is where the build of one failed"
NO_TERMINAL = "there is no terminal for a shell; for one command: doit shell:{image} --command='COMMAND'"
ELSEWHERE = "{package} failed with build.driver = {driver}: QUERN_BUILD_DRIVER={driver} doit shell:{image}"
BANNER = "{package}, {phase} phase: `({function})` runs it again, `exit` leaves; nothing done here is kept"
OF_PKG = ("pretend", "setup", "preinst", "postinst")  # phases whose functions are not called src_ (PMS, 9.1)


def answer(image: Image, run: Run, *, command: str) -> None:
    """Open a shell, or run `command` in one: a status other than 0 is then raised as Ended.

    Raises BuildError if there is nothing to look at, ConfigError where there is no terminal.
    """
    _latest(image)  # before there is a work folder, or another build is waited for
    if not command and not terminal.is_there():
        raise ConfigError(NO_TERMINAL.format(image=image.name))
    with locked(image.work / "lock", run.say):
        file, record = _latest(image)
        if not command:
            run.say(_banner(record))
        status = run.driver.shell(_command(run, file, record, command), _show)
    if command and status:
        raise Ended(status)


def _latest(image: Image) -> tuple[Path, dict[str, Any]]:
    """The record of the failure that is to be looked at, and what it says. Raises BuildError."""
    folders = [Place(image.work, step.name).staging / "scratch" for step in STEPS]
    files = [folder / RECORD for folder in folders]
    files += [file for folder in folders for file in folder.glob(f"*/{RECORD}")]
    files = [file for file in files if file.is_file()]
    files.sort(key=lambda file: file.stat().st_mtime_ns)
    if not files:
        raise BuildError(NOTHING.format(image=image.name))
    record = json.loads(regular.text(files[-1]))
    if record["driver"] != image.settings.build.driver:
        raise BuildError(ELSEWHERE.format(**record, image=image.name))
    return files[-1], record


def _banner(record: dict[str, Any]) -> str:
    kind = "pkg" if record["phase"] in OF_PKG else "src"
    return BANNER.format(**record, function=f"{kind}_{record['phase']}")


def _command(run: Run, file: Path, record: dict[str, Any], command: str) -> Command:
    """The worker's `shell`, which may write to the build folder and to ROOT."""
    called = names.from_json(record.get("names", {}))  # of an earlier version
    words = [record["python"], "-I", "-B", run.driver.inside(WORKER), "shell", called.inside(file)]
    words += [command] if command else []
    folder = Path(record["folder"])
    # not to the packages: those that were there before are the store's own files
    readable, recipe = [Path(path) for path in record["readable"]], record["recipe"]
    reach = called.reach([folder, Path(record["root"])], readable)._replace(recipe=Path(recipe) if recipe else None)
    folder = Path(called.inside(folder))
    environment = {"TERM": os.environ.get("TERM", "dumb")}
    return Command(words, environment, folder, Path(os.devnull), reach, terminal=not command, name=record["name"])


def _show(line: str) -> None:
    with heard():
        print(line, flush=True)
