"""explain:NAME: what `doit image:NAME` would run now, and why. Nothing is changed.

No daemon is needed, but where containers build: what they would build is resolved in one.

Of the steps after one that runs, those that depend on nothing else new may still be kept: a step that gives the same
bytes stops the chain there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from quern.errors import BuildError, QuernError, display
from quern.project import Image
from quern.questions.base import Question, Switch, tell_machines
from quern.steps import receipt as receipts
from quern.steps.base import Run, Step, key_of
from quern.steps.chain import steps_of
from quern.steps.differences import OUTPUTS, differences
from quern.steps.image import PATIENCE, ImageStep
from quern.steps.packages import WATCH, PackagesStep
from quern.steps.portage import PortageStep
from quern.steps.present import has_parts, is_there
from quern.steps.receipt import Receipt

State = Literal["up to date", "puts back", "runs", "may run", "fails"]
NOT_KNOWN, ANOTHER = "", "another"  # of a digest to come: whether it will be the same, and that it will not
NOT_MADE = "not made yet"
REPOSITORIES_CHANGED = "repositories changed"
CONFIGURATION_CHANGED = f"{OUTPUTS['portage']} changed"
PACKAGES_CHANGED = f"{OUTPUTS['packages']} changed"
SHOWN = 8  # reasons of one step in the text


class Verdict(NamedTuple):
    """What a step would do and why, in words; `built` are the packages it would build, with their reasons.

    Those of `maybe` are kept if what they are built with turns out to have the same content as before. A step that
    "puts back" has its output, and links, loads or writes again what was made of it.
    """

    step: str
    state: State
    reasons: list[str]
    built: Mapping[str, list[str]] = {}
    maybe: Sequence[str] = ()


def answer(image: Image, run: Run, *, json: bool) -> None:
    """Say what would run; with `json` as one line of JSON: [{"step", "state", "reasons", "built", "maybe"}, ...]."""
    verdicts = explain(image)
    if json:
        tell_machines([verdict._asdict() for verdict in verdicts])
        return
    for verdict in verdicts:
        for line in _lines(verdict):
            run.say(line)


def explain(image: Image) -> list[Verdict]:
    """What each step would do, in order; after one that would fail, no more."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="quern-") as scratch:
        return list(_Explanation(image, Path(scratch)).verdicts())


class _Explanation:
    """One pass over the steps; `coming` are the digests that their outputs will have, by step."""

    def __init__(self, image: Image, scratch: Path) -> None:
        self.image = image
        self.scratch = scratch
        self.coming: dict[str, str] = {}
        self.moves: list[str] = []  # of the lock

    def verdicts(self) -> Iterator[Verdict]:
        for step in steps_of(self.image):
            try:
                verdict = self._verdict(step, receipts.read(step.place.receipt))
            except QuernError as error:
                yield Verdict(step.name, "fails", [str(error)])
                return
            yield verdict

    def _verdict(self, step: Step, receipt: Receipt | None) -> Verdict:
        inputs = step.inputs()
        inputs |= {name: digest for name, digest in self.coming.items() if name in inputs}
        unknown = [name for name in inputs if inputs[name] == NOT_KNOWN and name in self.coming]
        reasons = self._reasons(step, receipt, inputs, unknown)
        if receipt is None or reasons:
            return self._of_one_that_runs(step, reasons)
        if unknown:
            self.coming[step.name] = NOT_KNOWN
            return Verdict(step.name, "may run", [f"if {' and '.join(unknown)} gives something else"])
        self.coming[step.name] = receipt.digest
        lost = self._lost(step, receipt)
        return Verdict(step.name, "puts back" if lost else "up to date", lost)

    def _reasons(self, step: Step, receipt: Receipt | None, inputs: Mapping[str, Any], unknown: list[str]) -> list[str]:
        """Why the step would run, as far as is known before it is asked itself."""
        if receipt is None:
            return [NOT_MADE]
        before = {name: value for name, value in receipt.inputs.items() if name not in unknown}
        now = {name: value for name, value in inputs.items() if name not in unknown}
        found = differences(before, _as_read(now), dict(self.image.settings.origins))
        if not found and not unknown and key_of(inputs, step) != receipt.key:
            found = ["made by another version of quern"]
        if not found and not has_parts(step, receipt):
            found = [f"{display(step.place.output)} is gone or damaged, or a part of it"]
        return found

    def _lost(self, step: Step, receipt: Receipt) -> list[str]:
        """What of a finished step is not there any more, outside its own folder."""
        if not is_there(step, receipt):
            paths = [step.place.digest, *step.published(receipt.info)]
            lost = [f"{display(path)} is gone" for path in paths if not path.exists()]
            if not lost and step.place.digest_text() != receipt.digest:
                lost = [f"{display(step.place.digest)} was damaged"]
            return lost or ["what it made was replaced"]
        from quern.engine import ping

        lacking = step.lacking(receipt)
        if lacking and self.image.settings.build.locked and isinstance(step, PackagesStep):
            raise BuildError(lacking)
        if lacking and self.image.settings.postbuild.engines and isinstance(step, ImageStep):
            ping(self.image.settings.docker.daemon, PATIENCE["docker"])
        return [f"the docker daemon has no {lacking}" if step.name == "image" else lacking] if lacking else []

    def _of_one_that_runs(self, step: Step, reasons: list[str]) -> Verdict:
        from quern.questions.foresight import Foresight

        built: Mapping[str, list[str]] = {}
        maybe: Sequence[str] = ()
        digest: str | None = NOT_KNOWN
        if isinstance(step, PortageStep):
            digest = Foresight(self.image, self.scratch).portage()
        elif isinstance(step, PackagesStep):
            packages = Foresight(self.image, self.scratch).packages()
            digest, built, maybe, self.moves = packages.digest, packages.built, packages.maybe, packages.moves
            reasons = self._of_packages(step, reasons)
        elif step.name == "root" and self.moves:
            others = [reason for reason in reasons if reason != PACKAGES_CHANGED]
            reasons = [*(f"packages.lock: {move}" for move in self.moves), *others]
        self.coming[step.name] = ANOTHER if digest is None else digest
        return Verdict(step.name, "runs", reasons, built, maybe)

    def _of_packages(self, step: PackagesStep, reasons: list[str]) -> list[str]:
        """What it would say: what moves, else what changed among the files it depends on."""
        from quern.portage import watch

        if reasons == [NOT_MADE]:  # then everything does
            self.moves = []
            return reasons
        changed = [display(Path(path)) for path in watch.changes(step.place.output / WATCH)]
        files = [f"{path} changed" for path in changed]
        others = [reason for reason in reasons if reason not in (REPOSITORIES_CHANGED, CONFIGURATION_CHANGED)]
        return [*self.moves, *others, *files] or reasons


def _as_read(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs as a receipt gives them back: JSON has lists alone."""
    import json

    read: dict[str, Any] = json.loads(json.dumps(inputs))
    return read


def _lines(verdict: Verdict) -> Iterator[str]:
    """The verdict for people."""
    reasons = verdict.reasons[:SHOWN]
    if more := len(verdict.reasons) - len(reasons):
        reasons.append(f"and {more} more (--json has all)")
    head = f"{verdict.step:8}  {verdict.state}"
    yield f"{head}: {reasons[0]}" if reasons else head
    for reason in reasons[1:]:
        yield f"{'':8}  {reason}"
    for cpv, why in verdict.built.items():
        word = "may build" if cpv in verdict.maybe else "builds"
        yield f"{'':8}  {word} {cpv}{': ' if why else ''}{', '.join(why)}"


EXPLAIN = Question(
    name="explain",
    doc="say what would run now, and why, for",
    after=None,
    options=(Switch("json", "one line of JSON, for machines"),),
    answer=answer,
)
