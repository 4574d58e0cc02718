"""Builds what is missing of a plan: every package as soon as all that it is built with is there, several at once.

    schedule ─▶ claim in the store ─▶ package_build, in a thread ─▶ the store      (this thread decides, and speaks)
                      └─ another run has it: something else, or wait for that package alone

A package that fails stops only what is built with it; at the end every failure is said, with its reason. The builders
of several images, each in a thread, share the machine (see `common`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import NamedTuple

from quern.drivers.commands import Stopped
from quern.errors import BuildError, EngineUnavailable, PackageError, QuernError, naming, of_the_machine
from quern.portage import claims, ledger, refusals
from quern.portage.plan import Package
from quern.portage.tally import BUILDING
from quern.steps import schedule
from quern.steps.base import counted
from quern.steps.common import Common, Failed
from quern.steps.events import Event
from quern.steps.package_build import Order, PackageBuild
from quern.steps.summary import Summary
from quern.worker import regular

PATIENCE = 0.5  # seconds after which is looked again whether another run has built a package
BASE = 2.0  # seconds that a package takes at least, where no earlier build says better
RATE = 200_000  # bytes of source files that take a second then
NOT_BUILT = "not built for want of {name}: {packages}"
NOT_BEGUN = "not begun after the failure: {packages}"
AS_BEFORE = "{name} is kept: what it is built with has the same content as before"
ELSEWHERE = "{reason}\nIt was built for the image {image}, which has it too{shell}"


class Running(NamedTuple):
    """One package that is being built: which of how many, with how many processes, the claim to it, and since when."""

    build: PackageBuild
    number: int
    claim: claims.Claim
    since: float


class Ended(NamedTuple):
    """That the build of a package (its id) is over: what it could not be given, by cpv, or why it failed."""

    name: str
    refused: Mapping[str, str]
    error: BaseException | None


class Builder:
    """Builds packages, as `order` says; `seconds` are those that packages (category/package) took before.

    With `keep_going` a failure stops only what is built with the package that failed; `memory` are the bytes that each
    process of a build may need.
    """

    def __init__(self, order: Order, seconds: Mapping[str, float], keep_going: bool, memory: int) -> None:
        self._order, self._seconds, self._memory = order, seconds, memory
        self._keep_going = keep_going and order.apart
        self._processors = order.around.processors
        self._common = order.around.run.common or Common()
        self._running: dict[str, Running] = {}
        self._threads: list[Thread] = []
        # what is to be said, and what has ended; None: look what can be begun
        self._events: SimpleQueue[str | Ended | None] = SimpleQueue()
        self._waited_for: set[str] = set()
        self._begun = self._total = 0
        self._summary = Summary()
        self._looked_for: set[str] = set()  # packages that would be the same as what was built under another key
        self._refused: dict[str, str] = {}
        self._failures: list[QuernError] = []
        self._lost: dict[str, list[str]] = {}  # by what failed: what was not built for that

    def build(self, packages: Sequence[Package]) -> Summary:
        """Build packages, each of which is listed after those that it is built with. Raises BuildError."""
        names = [package.id for package in packages]
        todo = schedule.Schedule(names, self._order.plan.closures.inside, self._expected(packages))
        around, self._total, since = self._order.around, len(packages), monotonic()
        around.tally.begin(fetching=False)
        self._note(f"{BUILDING} {counted(len(packages), 'package')}")
        self._common.join(self, lambda: self._events.put(None))
        try:
            self._begin(todo)
            while self._running or not (todo.is_over or self._is_stopped):
                self._take(todo)
                self._begin(todo)
        except BaseException:
            self._order.stopped.set()
            around.run.driver.stop()
            raise
        finally:
            for thread in self._threads:
                thread.join()
            for running in self._running.values():
                running.claim.give_up()
            self._common.leave(self)
        self._summarise(packages, monotonic() - since, len(todo.left) + sum(map(len, self._lost.values())))
        self._report([ledger.name_of(self._order.plan[name]) for name in todo.left])
        return self._summary

    def _expected(self, packages: Sequence[Package]) -> dict[str, float]:
        """The seconds that each package may take, by id: as before, or by the size of its sources."""
        found = {}
        for package in packages:
            lines = self._order.made_of.recipes[package.id]["distfiles"].values()
            size = sum(int(line.split()[0]) for line in lines if line.split()[0].isdigit())
            found[package.id] = self._seconds.get(package.name, BASE + size / RATE)
        return found

    def _begin(self, todo: schedule.Schedule) -> None:
        """Begin what can be begun now."""
        while not self._is_stopped:
            if self._take_over(todo):
                continue
            free = [name for name in todo.ready if not self._is_taken(name)]
            could_begin = free if self._order.apart or not self._running else []
            self._common.could_begin(self, {self._order.keys[name]: todo.behind(name) for name in could_begin})
            jobs = self._room(could_begin[0]) if could_begin else 0
            if not jobs:
                return
            self._claim(todo, could_begin[0], jobs)
        self._common.could_begin(self, {})

    def _take_over(self, todo: schedule.Schedule) -> bool:
        """See to what need not be built here any more; returns whether there was something."""
        ended = [(name, outcome) for name in todo.ready if (outcome := self._outcome(name))]
        for name, outcome in ended:
            todo.begin(name)
            self._begun += 1
            self._end(todo, outcome)
        return bool(ended)

    def _outcome(self, name: str) -> Ended | None:
        """What became of a package that need not be built here: another builder had it, or it is as before."""
        key, package = self._order.keys[name], self._order.plan[name]
        if self._order.packages.stanza(package.cpv, key) is not None:
            if key in self._common.kept:
                self._summary.same.add(name)
            return Ended(name, {}, None)
        if self._is_as_before(package):
            self._common.kept.add(key)
            self._summary.same.add(name)
            self._order.around.run.say(AS_BEFORE.format(name=ledger.name_of(package)))
            return Ended(name, {}, None)
        if failed := self._common.failed.get(key):
            shell = f": doit shell:{failed.image}" if isinstance(failed.reason, PackageError) else ""
            return Ended(name, {}, BuildError(ELSEWHERE.format(**failed._asdict(), shell=shell)))
        return None

    def _is_as_before(self, package: Package) -> bool:
        """Whether it was built from the same content under another key: then it is taken from there."""
        if package.id in self._looked_for:
            return False
        packages, key = self._order.packages, self._order.keys[package.id]
        contents = self._order.contents_digest(package.id)
        former = packages.same(package.cpv, contents) if contents else None
        claim = claims.claim(packages.folder, package.cpv, key) if former else None
        if former and not claim:
            return False  # another builder has it, and may do the same
        self._looked_for.add(package.id)
        if former and claim:
            try:
                packages.adopt(package.cpv, key, former)
            finally:
                claim.give_up()
        return packages.stanza(package.cpv, key) is not None

    def _is_taken(self, name: str) -> bool:
        """Whether another builder, of this run or of another, is at work on it."""
        package, key = self._order.plan[name], self._order.keys[name]
        if self._common.builds(key):
            return True
        if name in self._waited_for:
            claim = claims.claim(self._order.packages.folder, package.cpv, key)
            if claim is None:
                return True
            claim.give_up()  # whoever had it has ended, well or not
            self._waited_for.discard(name)
        return False

    @property
    def _is_stopped(self) -> bool:
        """Whether nothing more is begun, because something has failed."""
        return bool(self._failures) and not self._keep_going

    def _room(self, name: str) -> int:
        """How many processes the package may keep busy; 0: it has to wait."""
        if self._order.apart:
            return self._common.take(self, self._order.keys[name], self._processors, self._memory)
        if self._running or not self._common.take(self, self._order.keys[name], self._processors, 0):
            return 0
        return self._processors

    def _claim(self, todo: schedule.Schedule, name: str, jobs: int) -> None:
        """Begin a package, if no other run has it."""
        package = self._order.plan[name]
        claim = claims.claim(self._order.packages.folder, package.cpv, self._order.keys[name])
        if claim and not self._outcome(name):
            todo.begin(name)
            self._start(package, jobs, claim)
            return
        self._common.give_back(self, self._order.keys[name])
        if claim:  # whoever had it has just ended
            claim.give_up()
        else:
            self._wait_for(package)

    def _wait_for(self, package: Package) -> None:
        """Say once that another run builds this package."""
        if package.id not in self._waited_for:
            self._waited_for.add(package.id)
            holder = claims.holder(self._order.packages.folder, package.cpv, self._order.keys[package.id])
            self._order.around.run.say(f"Waiting for {holder}, which builds {package.cpv}")

    def _start(self, package: Package, jobs: int, claim: claims.Claim) -> None:
        order = self._order
        around = replace(order.around, run=order.around.run._replace(say=self._events.put))
        build = PackageBuild(replace(order, around=around), package, jobs)
        self._begun += 1
        self._running[package.id] = Running(build, self._begun, claim, monotonic())
        line = f">>> Emerging {self._about(package.id)}"
        self._note(line)
        order.around.run.say(Event(line, "package", package=ledger.name_of(package), state="begun"))
        self._threads.append(Thread(target=self._build, args=(build,)))
        self._threads[-1].start()
        self._common.wake_others(self)  # there may be room for what had to wait for this one

    def _build(self, build: PackageBuild) -> None:
        """Build one package, in a thread of its own."""
        name = build.package.id
        try:
            with naming(self._order.around.staging):
                refused, error = build.build(), None
        except BaseException as caught:
            refused, error = {}, caught
        self._events.put(Ended(name, refused, error))

    def _take(self, todo: schedule.Schedule) -> None:
        """Wait for something to happen, and see to it; where another run builds something, not for long."""
        try:
            event = self._events.get(timeout=PATIENCE)
        except Empty:
            self._order.around.tally.pass_time(monotonic())
            return
        if isinstance(event, Ended):
            self._end(todo, event)
        elif event is not None:
            self._order.around.run.say(event)

    def _end(self, todo: schedule.Schedule, ended: Ended) -> None:
        """Note that a package is built, or that it failed."""
        reason = _of_the_package(ended.error) if ended.error else None
        running = self._running.pop(ended.name, None)
        about = self._about(ended.name, running)
        if running:
            if reason:
                self._common.failed[self._order.keys[ended.name]] = Failed(reason, self._image)
            running.claim.give_up()
            self._keep_output(running.build)
            self._common.give_back(self, self._order.keys[ended.name])
            self._common.wake_others(self)
        package = self._order.plan[ended.name]
        seconds = monotonic() - running.since if running else None
        if reason is None and not ended.refused:
            todo.end(ended.name)
            self._summary.add(ended.name, seconds)
            self._note(f">>> Completed {about}")
            self._tell(package, self._summary.state(ended.name), seconds)
            return
        self._summary.failed += 1
        self._tell(package, "failed", seconds)
        self._note(f">>> Failed to emerge {package.cpv}, {about}")
        lost = [ledger.name_of(self._order.plan[name]) for name in todo.fail(ended.name)]
        self._refused |= ended.refused
        if lost:
            self._lost[ledger.name_of(package)] = lost
        if reason is None:
            return
        self._failures.append(reason)
        if self._running or not todo.is_over:
            going_on = "what is not built with it" if self._keep_going else "what is being built"
            self._order.around.run.say(f"{package.cpv} failed; going on with {going_on}")

    def _tell(self, package: Package, state: str, seconds: float | None) -> None:
        """Tell programs that a package has ended."""
        fields = {"package": ledger.name_of(package), "state": state}
        time = {} if seconds is None else {"seconds": round(seconds, 3)}
        self._order.around.run.say(Event("", "package", **fields, **time))

    @property
    def _image(self) -> str:
        return self._order.around.setup.image.name

    def _about(self, name: str, running: Running | None = None) -> str:
        running = running or self._running.get(name)
        package = self._order.plan[name]
        number = running.number if running else self._begun
        return f"({number} of {self._total}) {package.cpv}::{package.repository}"

    def _keep_output(self, build: PackageBuild) -> None:
        """Append to the step's log what the worker has printed, each line with its package before it."""
        log = self._order.around.log
        if build.output.exists():  # else it failed before anything ran
            with build.output.open("rb") as source, naming(log), log.open("ab") as target:
                target.writelines(f"{build.package.cpv}: ".encode() + line for line in source)
            build.output.unlink()

    def _note(self, line: str) -> None:
        """Write a line into the step's log, from which the progress is read, too."""
        regular.append(self._order.around.log, f"{line}\n")
        self._order.around.tally.line(line, monotonic())

    def _summarise(self, packages: Sequence[Package], seconds: float, not_built: int) -> None:
        """Say how many packages were built, in what time, and which took longest in a row."""
        plan, names = self._order.plan, {package.id: ledger.name_of(package) for package in packages}
        reused = sum(package.id not in names for package in plan.packages)
        for line in self._summary.lines(seconds, reused, not_built, plan.closures.inside, names):
            self._order.around.run.say(line)

    def _report(self, left: Sequence[str]) -> None:
        """Raise BuildError with every reason if something could not be built; `left` was never begun."""
        texts = [str(error) for error in self._failures]
        if left:
            texts.append(NOT_BEGUN.format(packages=", ".join(left)))
        for name, packages in self._lost.items():
            texts.append(NOT_BUILT.format(name=name, packages=", ".join(packages)))
        if self._refused:
            cases = "\n  ".join(self._refused.values())
            texts.append(refusals.MESSAGE.format(cases=cases, log=self._order.around.log))
        if texts:
            kinds = [type(error) for error in self._failures if isinstance(error, PackageError)]
            raise (kinds[0] if kinds else BuildError)("\n\n".join(texts))


def _of_the_package(error: BaseException) -> QuernError:
    """The reason why one package failed. Raises the error if it is that of all."""
    reason = of_the_machine(error) if isinstance(error, OSError) else error
    if isinstance(reason, QuernError) and not isinstance(reason, (EngineUnavailable, Stopped)):
        return reason
    raise error
