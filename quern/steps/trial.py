"""test:NAME: the programs in profiles/NAME/tests, run in the finished image.

build/NAME/test/passed           the names of those that passed, which is all of them
build/NAME/logs/test/TEST.log    what each has printed

Not one of the steps that make an image: `doit image:NAME` never runs it, and nothing depends on it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from quern.errors import BuildError, display, spelled
from quern.portage.keys import tree_digest
from quern.project import TESTS, Image
from quern.steps.base import TRIAL, Made, Run, Step, counted

if TYPE_CHECKING:
    from quern.steps.receipt import Receipt
    from quern.steps.trying import Trial

PASSED = "passed"
SHOWN = 20  # lines of a failed test
LOG_SIZE = 16 << 20  # bytes that are kept of what a test prints
END_SIZE = 16 << 10  # bytes in which those lines are looked for

# what docker's runc and worker/inside.py say, in place of the program that they could not become
NOT_STARTED = r"(?:standard_init_linux\.go:\d+: exec user process caused|exec /\.quern-tests/.+): [a-z ]+"
HEAD = 256  # bytes of a script that the kernel reads (execve(2))


@dataclass(frozen=True, eq=False, repr=False)
class TrialStep(Step):
    """Tests the image."""

    name: ClassVar[str] = TRIAL
    doc: ClassVar[str] = "run the tests of"
    parts: ClassVar[tuple[str, ...]] = (PASSED,)

    image: Image

    @property
    def folder(self) -> Path | None:
        """Where the tests are."""
        return self.image.folder / TESTS if self.image.folder else None

    def files(self) -> list[Path]:
        """The image's digest. Not the tests: doit would ask for them at every start."""
        return [self.place.beside("image").digest]

    def inputs(self) -> dict[str, Any]:
        """The image, its tests with all that lies beside them, and the options."""
        return {
            "image": self.place.beside("image").digest_text(),
            "tests": tree_digest(self.folder) if self.folder else "",
            "options": self.image.settings.tests._asdict(),
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Run every test, and raise BuildError if one fails."""
        names = self._names()
        failed: list[str] = []
        if names and self.folder:
            from quern.steps.trying import trial_of

            shutil.rmtree(self._logs, ignore_errors=True)  # of tests that there were
            self._logs.mkdir(parents=True)
            copy = staging / TESTS
            try:
                _copy(self.folder, copy)
                trial = trial_of(self.image, copy, staging / "image")
                run.say(f"Testing in {trial}")
                failed = [name for name in names if not self._passes(name, trial, run)]
            finally:
                shutil.rmtree(copy, ignore_errors=True)
        if failed:
            some = f"{len(failed)} of {counted(len(names), 'test')} of {self.image.name}"
            raise BuildError(f"{some} failed: {spelled(', '.join(failed))}")
        (staging / PASSED).write_bytes(b"".join(os.fsencode(name) + b"\n" for name in names))
        return Made({"tests": len(names)})

    def made(self, receipt: Receipt) -> str:
        """How many have passed."""
        tests = receipt.info["tests"]
        return f"{counted(tests, 'test')} passed" if tests else ""

    @property
    def _logs(self) -> Path:
        return self.place.log.with_suffix("")

    def _names(self) -> list[str]:
        """The files of the tests' folder; what lies deeper is theirs to read."""
        if self.folder is None or not self.folder.is_dir():
            return []
        found = [path.name for path in self.folder.iterdir() if path.is_file()]
        return sorted(name for name in found if name[0] != "." and name[-1] != "~")

    def _passes(self, name: str, trial: Trial, run: Run) -> bool:
        """Run one, say what became of it, and return whether that is well."""
        assert self.folder is not None
        shown = spelled(name)
        if not (self.folder / name).stat().st_mode & 0o111:
            run.say(f"{shown}: FAILED: it is not executable: chmod +x {display(self.folder / name)}")
            return False
        path = self._logs / f"{name}.log"
        with path.open("wb", buffering=0) as file:
            log = _Log(file.write)
            status = trial.run(name, log.write)
        if status == 0:
            run.say(f"{shown}: passed")
            return True
        lines = log.end.decode(errors="replace").splitlines()
        if reason := _not_started(self.folder / name, lines):
            run.say(f"{shown}: FAILED: {reason}")
            return False
        run.say(f"{shown}: FAILED: {self._reason(status)}")
        for line in lines[-SHOWN:]:
            run.say(f"  {line}")
        run.say(f"  log: {display(path)}")
        return False

    def _reason(self, status: int | None) -> str:
        if status is None:
            return f"it did not end within {self.image.settings.tests.timeout} s ([tests] timeout)"
        if status - 128 in set(signal.Signals):
            return f"{signal.Signals(status - 128).name} ended it"
        return f"exit status {status}"


class _Log:
    """Passes on what a test prints, up to LOG_SIZE, and keeps its end."""

    def __init__(self, sink: Any) -> None:  # noqa: ANN401
        self._sink = sink
        self._room = LOG_SIZE
        self.end = b""

    def write(self, piece: bytes) -> None:
        self.end = (self.end + piece)[-END_SIZE:]
        self._sink(piece[: self._room])
        self._room -= min(self._room, len(piece))


def _copy(source: Path, target: Path) -> None:
    """Copy the tests as they are now, for any user to read, whoever may read them here."""
    try:
        shutil.copytree(source, target)
    except shutil.Error as error:
        raise BuildError(f"{display(source)} cannot be copied: {error.args[0][0][2]}") from None
    for folder, _, names in os.walk(target):
        os.chmod(folder, 0o755)
        for path in (Path(folder, name) for name in names):
            path.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)


def _not_started(test: Path, lines: list[str]) -> str:
    """Why a test could not be started, if that is what its only line says."""
    if len(lines) != 1 or not re.fullmatch(NOT_STARTED, lines[0]):
        return ""
    with test.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"#!"):
        line = head.partition(b"\n")[0]
        if line.endswith(b"\r"):
            return "its lines end with CR LF, and the kernel takes the CR for a part of a name: save it with LF"
        first = line.decode(errors="replace")
        return f"the image cannot run `{first}`: what is named there must be in the image"
    if head.startswith(b"\x7fELF"):
        return "the image cannot run it: its dynamic loader must be in the image, or link it statically"
    return "it is no program: expected a first line like `#!/bin/sh`, whose interpreter is in the image, or an ELF file"
