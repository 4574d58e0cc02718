"""What a step is, and how any step is run: lock, compare with the receipt, build aside, commit.

    inputs() ──digest──▶ key ──equal to the receipt's, output there?──▶ kept
                              └─else─▶ build(staging) ▶ rename ▶ publish ▶ STEP.digest ▶ STEP.json

A step is a frozen value that holds only its inputs; everything that happens to disk around `build` happens here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from quern.drivers.base import Driver
from quern.errors import BuildError, naming
from quern.steps import receipt as receipts
from quern.steps.lock import locked
from quern.steps.present import SIZES, check_needs, has_parts, is_there, sizes
from quern.steps.published import made_outside, mark_of, publish
from quern.steps.receipt import Place, Receipt

if TYPE_CHECKING:
    from quern.steps.common import Common

TRIAL = "test"  # the step that tests the image and builds nothing (see trial)


class Run(NamedTuple):
    """What a build is handed besides its inputs: where commands run, and whom to tell.

    `say` takes one line for the user; `common` is shared by the builders of all images that are built at the same time.
    """

    driver: Driver
    say: Callable[[str], None]
    common: Common | None = None


class Made(NamedTuple):
    """What a build reports: facts for later steps, and the output's digest where it was computed on the way.

    `inputs` are those of the step's that only the build can know, as `Step.inputs` gives them from then on; `times`
    are the seconds that each package took, for estimates.
    """

    info: Mapping[str, Any]
    digest: str | None = None
    inputs: Mapping[str, Any] = {}
    times: Mapping[str, float] = {}


@dataclass(frozen=True, eq=False, repr=False)  # neither is used, and both cost time at every start
class Step:
    """One build step of one image.

    `version` belongs to the key: raise it when the same inputs give other bytes.
    """

    name: ClassVar[str]
    doc: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ()  # what a finished output has, whatever else is in it
    version: ClassVar[int] = 1
    emerges: ClassVar[bool] = False  # then its log is worth showing
    asks: ClassVar[bool] = False  # whether [emerge] ask gives it the terminal

    work: Path  # the image's work folder
    keep_failed: bool

    @property
    def place(self) -> Place:
        """Where the step keeps its output and records."""
        return Place(self.work, self.name)

    def files(self) -> list[Path]:
        """Files that doit is to watch; they add runs, which the receipt turns into "kept"."""
        return []

    def inputs(self) -> dict[str, Any]:
        """Everything the output depends on, as JSON values; large things by digest. Raises QuernError."""
        raise NotImplementedError

    def build(self, staging: Path, run: Run) -> Made:
        """Write the whole output below `staging`, an empty folder, and nowhere else. Raises QuernError."""
        raise NotImplementedError

    def is_sound(self, receipt: Receipt) -> bool:
        """Whether what later steps read of the output is what was finished; asked where the step runs at all."""
        return True

    def published(self, info: Mapping[str, Any]) -> dict[Path, str]:
        """The paths outside the work folder that are to be hard links to files of the output."""
        return {}

    def made(self, receipt: Receipt) -> str:
        """What a finished step has made, in a few words for the user."""
        return ""

    def lacking(self, receipt: Receipt) -> str | None:
        """What a finished step has lost outside the file system (an image tag), if anything."""
        return None

    def settle(self, receipt: Receipt, run: Run) -> None:
        """Bring back what `lacking` says is missing; called with the output in place."""


def counted(number: int, thing: str) -> str:
    """Spell how many there are."""
    return f"{number} {thing}{'s' if number != 1 else ''}"


def megabytes(size: int) -> str:
    """Spell a size in bytes, in units of 10^6 or 10^3."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def key_of(inputs: Mapping[str, Any], step: Step) -> str:
    """The step's identity: a digest of its name, its version and its inputs."""
    text = json.dumps([step.name, step.version, inputs], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def is_current(step: Step) -> bool:
    """Whether nothing is left to do; reads, and writes nothing.

    A receipt of an earlier boot is not trusted here: the run that follows digests the output once.
    """
    receipt = receipts.read(step.place.receipt)
    return (
        receipt is not None
        and receipt.boot_id == receipts.boot_id()
        and is_there(step, receipt)
        and receipt.key == key_of(step.inputs(), step)
        and step.lacking(receipt) is None
    )


def run_step(step: Step, run: Run) -> bool:
    """Bring the step up to date; True if it was built, False if its output was kept. Raises QuernError."""
    from quern.steps.work import claim

    claim(step.work)
    with locked(step.work / "lock", run.say):
        check_needs(step)
        inputs = step.inputs()
        receipt = _trusted(step, key_of(inputs, step), run)
        built = receipt is None
        if receipt is None:
            receipt = _build_and_commit(step, inputs, run)
        step.settle(receipt, run)
    return built


def clean_step(step: Step, run: Run, dry: bool) -> list[Path]:
    """Remove everything the step has made, inside and outside the work folder, and return those paths.

    With `dry` only say what would be removed. Raises QuernError where something cannot be removed.
    """
    work = step.work
    if dry or not work.is_dir():
        return _made(step)
    with locked(work / "lock", run.say):
        paths = _made(step)
        _retire_receipt(step.place)  # a half-removed output is none, and what was made outside is still known
        for path in _made(step):
            if path.is_dir() and not path.is_symlink():
                discard(path, work, run)
            else:
                path.unlink(missing_ok=True)  # what is outside may be removed by others too
        if step.place.log in paths:  # commands were run for it
            run.driver.clear()
        if not any(receipt.stem != TRIAL for receipt in work.glob("*.json")):
            for name in ("host", "logs", "verify", "checkpoints", receipts.Place(work, "resolve").staging.name):
                discard(work / name, work, run)
            (work / "lock").unlink()
            with suppress(OSError):  # the user has put something there, or another run has come or gone by now
                work.rmdir()
    return paths


def _made(step: Step) -> list[Path]:
    """Every path that the step has made and that is still there."""
    place = step.place
    candidates = [place.digest, place.output, place.staging, place.aside]
    candidates += [place.log, place.log.with_suffix(""), place.times]
    candidates += [Path(path) for path, mark in made_outside(place).items() if mark_of(Path(path)) == [*mark]]
    candidates += [*place.work.glob(f".{place.step}.*.new"), place.receipt, place.former_receipt]
    return [path for path in candidates if path.is_symlink() or path.exists()]


def _trusted(step: Step, key: str, run: Run) -> Receipt | None:
    """The receipt, if it has this key and the output is there and, after a reboot, still has its digest."""
    receipt = receipts.read(step.place.receipt)
    if receipt is None or receipt.key != key or not has_parts(step, receipt):
        return None
    is_new = receipt.boot_id != receipts.boot_id() or step.place.digest_text() != receipt.digest
    if not step.is_sound(receipt) or (is_new and _tree(step, run) != receipt.info.get("tree", receipt.digest)):
        run.say(f"{step.place.output} is not what was built there; building it again")
        return None
    if is_new:
        receipts.write_atomically(step.place.digest, receipt.digest + "\n")
        receipt = receipt._replace(boot_id=receipts.boot_id())
        receipts.write(step.place.receipt, receipt)
    if not is_there(step, receipt):
        publish(step.place.output, step.published(receipt.info))
    return receipt


def _tree(step: Step, run: Run) -> str:
    """The digest of what is in the step's output now."""
    return str(run.driver.call("digest", root=str(step.place.output))["digest"])


def _build_and_commit(step: Step, inputs: dict[str, Any], run: Run) -> Receipt:
    from quern.steps import history

    place = step.place
    discard(place.staging, place.work, run)
    place.staging.mkdir()
    place.log.parent.mkdir(exist_ok=True)
    started = monotonic()
    try:
        with naming(place.staging):
            made = step.build(place.staging, run)
        inputs = {**inputs, **made.inputs}
        if changed := _difference(inputs, {**step.inputs(), **made.inputs}):
            raise BuildError(f"{step.name}: {changed} changed while it was built; nothing was kept, run it again")
    except BaseException:
        if not step.keep_failed:
            discard(place.staging, place.work, run)
        elif any(place.staging.iterdir()):
            run.say(f"What was built so far is in {place.staging}")
        raise
    answer = run.driver.call("digest", root=str(place.staging))
    info = {**made.info, "tree": answer["digest"], "bytes": answer["bytes"], SIZES: sizes(step, made.info)}
    digest = made.digest or answer["digest"]
    receipt = _commit(step, Receipt(key_of(inputs, step), inputs, digest, receipts.boot_id(), info), run)
    history.note(place.times, monotonic() - started, made.times)
    return receipt


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))


def _commit(step: Step, receipt: Receipt, run: Run) -> Receipt:
    """Make staging the output.

    The records go first: with the receipt removed last, a kill between the rename and that, followed by an edit
    taken back, would call the wrong bytes finished.
    """
    place = step.place
    made = made_outside(place)
    _retire_receipt(place)
    receipts.remove(place.digest)
    discard(place.aside, place.work, run)
    if place.output.exists():
        place.output.rename(place.aside)
    place.staging.rename(place.output)
    receipts.sync_file_system(place.work)
    publish(place.output, step.published(receipt.info))
    made |= {str(path): mark_of(path) for path in step.published(receipt.info)}
    receipt = receipt._replace(made=made)
    receipts.write_atomically(place.digest, receipt.digest + "\n")
    receipts.write(place.receipt, receipt)
    receipts.remove(place.former_receipt)
    discard(place.aside, place.work, run)
    return receipt


def _retire_receipt(place: Place) -> None:
    """Have no receipt, but know what was made outside the work folder."""
    if place.receipt.exists():
        place.receipt.replace(place.former_receipt)
        receipts.sync_folder(place.work)


def discard(path: Path, within: Path, run: Run) -> None:
    """Remove the tree at `path`, which must lie in `within`; no error if there is none."""
    if path.is_symlink() or path.exists():
        run.driver.call("remove", path=str(path), within=str(within))
