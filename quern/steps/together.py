"""The packages of all images of a run, built at the same time: what several have once, and as much at once as can be.

doit asks for one task after the other. The first packages:NAME that is to run has those of the other images run too,
each step in a thread; what became of them is said when doit comes to their tasks.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from quern.errors import QuernError
from quern.steps.base import Run, Step, is_current, run_step

if TYPE_CHECKING:
    from quern.project import Image
    from quern.steps.common import Common

PACKAGES = "packages"
PATIENCE = 1.0  # seconds that the other images have to end after an interruption; what still runs then ends with us

Context = Callable[["Image", "Common"], Run]


class Member(NamedTuple):
    """The packages of one image: their step, and the one before it."""

    image: Image
    before: Step
    step: Step


class Outcome(NamedTuple):
    """What became of a step: whether it was built, in how many seconds, or why not."""

    built: bool
    seconds: float
    error: BaseException | None


class Together:
    """The steps of one run of doit, by the names of their tasks."""

    def __init__(self) -> None:
        self.known: dict[str, Member] = {}  # all there are
        self._expected: list[str] = []
        self._begun: Callable[[list[Member]], object] = list
        self._outcomes: dict[str, Outcome] = {}

    def know(self, image: Image, steps: Sequence[Step]) -> None:
        """Tell of an image, and its steps in order; where the user is to be asked something, it goes alone."""
        if not image.settings.emerge.ask:
            before, step = next((one, other) for one, other in pairwise(steps) if other.name == PACKAGES)
            self.known[f"{step.name}:{image.name}"] = Member(image, before, step)

    def expect(self, names: Iterable[str], begun: Callable[[list[Member]], object]) -> None:
        """Say which tasks are asked for; `begun` is told which members are run because another one is."""
        self._expected, self._begun, self._outcomes = list(names), begun, {}

    def has_run(self, name: str) -> bool:
        """Whether the step of this task has run, and its task not yet."""
        return name in self._outcomes

    def concerns(self, name: str) -> bool:
        """Whether this task is one of those, and doit runs one after the other, here (not with `doit -n`)."""
        is_ours = threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None
        return is_ours and (name in self._expected or name in self._outcomes)

    def run(self, name: str, context: Context) -> tuple[bool, float]:
        """Bring the step of this task up to date, and the others meanwhile; raises what its step raises.

        Returns whether it was built, and the seconds that took.
        """
        if name not in self._outcomes:
            self._run_all(name, context)
        built, seconds, error = self._outcomes.pop(name)
        if error:
            raise error
        return built, seconds

    def _run_all(self, name: str, context: Context) -> None:
        """Run the step of this task here, and those of the others in threads; wait for all."""
        from quern.steps.common import Common

        expected, self._expected = self._expected, []
        others = [each for each in expected if each != name and _is_due(self.known[each])]
        common = Common(self.known[each].image.name for each in (name, *others))
        runs = {each: context(self.known[each].image, common) for each in (name, *others)}
        # daemons: once we are interrupted, what is slow to end must not keep us
        threads = [threading.Thread(target=self._run, args=(each, runs[each]), daemon=True) for each in others]
        self._begun([self.known[each] for each in others])
        try:
            for thread in threads:
                thread.start()
            self._run(name, runs[name])
            for thread in threads:
                thread.join()
        except BaseException:
            for each in others:
                runs[each].driver.stop()
            until = monotonic() + PATIENCE
            for thread in threads:
                thread.join(max(0, until - monotonic()))
            raise

    def _run(self, name: str, run: Run) -> None:
        started = monotonic()
        try:
            built, error = run_step(self.known[name].step, run), None
        except BaseException as caught:
            if not isinstance(caught, Exception) and threading.current_thread() is threading.main_thread():
                raise  # we are interrupted
            built, error = False, caught
        finally:
            if run.common:
                run.common.resolved(self.known[name].image.name)
        self._outcomes[name] = Outcome(built, monotonic() - started, error)


def _is_due(member: Member) -> bool:
    """Whether the step of another image can run, and has to."""
    try:
        return is_current(member.before) and not is_current(member.step)
    except (QuernError, OSError):
        return False  # its own task says why


TOGETHER = Together()  # doit has one run in a process, and no other place for what its actions share
