"""The images of a project as doit tasks: the one module that speaks doit.

    portage:NAME ──▶ packages:NAME ──▶ root:NAME ──▶ strip:NAME ──▶ tarball:NAME ──▶ image:NAME
         └──▶ lock:NAME                                  what is asked about an image is a task too

A project's dodo.py:

    from quern.tasks import DOIT_CONFIG, project_tasks

    def task_images():
        return project_tasks(__file__)
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from doit import Globals, get_initial_workdir
from doit.dependency import JSONCodec
from doit.exceptions import InvalidDodoFile, TaskFailed

from quern.interrupts import Interrupted, listen

if get_initial_workdir():  # doit reads a dodo.py: for Ctrl-C while the rest is imported Python would print a traceback
    listen()

from quern import command_line
from quern.encoding import take_all, use_utf8
from quern.errors import PackageError, QuernError, of_the_machine, removed_meanwhile
from quern.project import Image, project_images
from quern.questions import CHORES, QUESTIONS
from quern.questions.base import Chore, Question, Switch, Text, clear
from quern.reporter import SECONDS, SHOWN, WAY, Reporter, Way, say
from quern.steps import base
from quern.steps.base import Run, Step
from quern.steps.chain import TASKS, driver_of, steps_of, trial_of
from quern.steps.together import TOGETHER

if TYPE_CHECKING:
    from quern.steps.common import Common

DATABASE = ".doit.db"
UNREADABLE = "{}: expected a file that can be read, where doit keeps what it knows of earlier runs; remove it"
UNWRITABLE = "{}: cannot be written: {}; what was built is kept, and the next run finds it"


class Records(JSONCodec):  # type: ignore[misc]  # doit ships no types
    """doit's database, of which a damaged one is empty: doit writes it in place, and receipts decide anyway."""

    def __init__(self) -> None:
        """doit makes one just before it reads the file. Raises InvalidDodoFile where it could not."""
        super().__init__()
        if os.path.lexists(DATABASE) and not (os.path.isfile(DATABASE) and os.access(DATABASE, os.R_OK)):
            raise InvalidDodoFile(UNREADABLE.format(DATABASE))

    def decode(self, data: str) -> dict[str, Any]:
        """What is in the database file, of which `data` is the text."""
        try:
            found = super().decode(data)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


# json: doit's other databases make a file even for `doit list`
DOIT_CONFIG = {
    "default_tasks": ["image"],
    "backend": "json",
    "codec_cls": Records,
    "dep_file": DATABASE,
    "sort": "definition",
    "reporter": Reporter,  # by its name doit would look for it among all that is installed
}


def project_tasks(dodo_file: str) -> Iterator[dict[str, Any]]:
    """The tasks of the project whose dodo.py is `dodo_file`. Raises InvalidDodoFile, one message."""
    if Globals.dep_manager:
        backend = Globals.dep_manager.backend
        backend.dump = partial(_keep, backend.name, backend.dump)
    with _nothing_collected():
        yield from _project_tasks(Path(dodo_file))


def _keep(name: str, dump: Callable[[], None]) -> None:
    """Have doit write its database `name` by `dump`. Raises InvalidDodoFile where that fails, on a full disk say."""
    try:
        dump()
    except (OSError, UnboundLocalError) as error:  # doit also closes what it could not open
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise InvalidDodoFile(UNWRITABLE.format(name, cause.strerror)) from None


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """What is made inside stays; looking for garbage in it takes a tenth of the time to list a hundred images."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _project_tasks(dodo_file: Path) -> Iterator[dict[str, Any]]:
    if refusal := command_line.taken(sys.argv[1:], QUESTIONS):
        raise InvalidDodoFile(refusal)
    try:
        use_utf8(get_initial_workdir())
        take_all(sys.__stdout__)
        environ = dict(os.environ)  # which itself encodes at each look-up
        images = project_images(dodo_file.resolve().parent, environ)
        tasks = []
        for image in images:
            steps = steps_of(image)
            TOGETHER.know(image, steps)
            tasks += [_task(image, step) for step in (*steps, trial_of(image))]
        tasks += [_question(image, question) for image in images for question in QUESTIONS]
    except (QuernError, OSError) as error:
        raise InvalidDodoFile(str(error)) from None
    names = _few([image.name for image in images])
    for name, doc in [*((step.name, step.doc) for step in TASKS), *((asked.name, asked.doc) for asked in QUESTIONS)]:
        yield {"basename": name, "name": None, "doc": f"{doc} {names}"}
    yield from tasks
    yield from (_chore(images, chore, names) for chore in CHORES)


def _few(names: list[str]) -> str:
    """Some of the names, for a line that is read."""
    shown = names if len(names) <= SHOWN else [*names[: SHOWN - 1], f"{len(names) - SHOWN + 1} more"]
    return ", ".join(shown)


def _task(image: Image, step: Step) -> dict[str, Any]:
    return {
        "basename": step.name,
        "name": image.name,
        "doc": f"{step.doc} {image.name}",
        "file_dep": [str(path) for path in step.files()],
        "targets": step.place.targets,
        "uptodate": [(_is_current, [step])],
        "actions": [(_run, [image, step])],
        "clean": [(_clean, [image, step])],
        "verbosity": 2,  # a build takes minutes: its lines are shown as they come
    }


def _question(image: Image, question: Question) -> dict[str, Any]:
    """A task that runs whenever it is asked for, and never otherwise."""
    return {
        "basename": question.name,
        "name": image.name,
        "doc": f"{question.doc} {image.name}",
        "task_dep": [f"{question.after}:{image.name}"] if question.after else [],
        "params": [_parameter(option) for option in question.options],
        "actions": [(_answer, [image, question])],
        "targets": [str(path) for path in question.files(image)],
        "clean": [(_clear, [image, question])],
        "verbosity": 2,
    }


def _chore(images: list[Image], chore: Chore, names: str) -> dict[str, Any]:
    """A task for all images, which runs whenever it is asked for, and never otherwise."""
    return {
        "basename": chore.name,
        "doc": f"{chore.doc} {names}",
        "params": [_parameter(option) for option in chore.options],
        "actions": [(_do, [images, chore])],
        "verbosity": 2,
    }


def _parameter(option: Switch | Text) -> dict[str, Any]:
    short = {"short": option.short} if isinstance(option, Text) and option.short else {}
    kind = str if isinstance(option, Text) else bool
    return {"name": option.name, "long": option.name, **short, "type": kind, "default": kind(), "help": option.doc}


def _is_current(task: Any, values: object, step: Step) -> bool:  # noqa: ANN401 (doit ships no types)
    """For doit's `uptodate`; the receipt on disk decides. What is wrong is reported by the run that follows.

    A step that has run beside another one's is to be reported.

    doit asks in its own process before anything runs, which therefore listens for Ctrl-C from here on.
    """
    listen()
    try:
        return not TOGETHER.has_run(task.name) and base.is_current(step)
    except (QuernError, OSError):
        return False


def _run(image: Image, step: Step, task: Any) -> TaskFailed | None:  # noqa: ANN401 (doit ships no types)
    """A task's action: bring the step up to date."""
    notes = task.meta or {}
    way = notes.get(WAY)

    def action() -> None:
        started = monotonic()
        if TOGETHER.concerns(task.name):
            built, seconds = TOGETHER.run(task.name, partial(_context, way=way))
        else:
            built, seconds = base.run_step(step, _context(image, way=way)), monotonic() - started
        if built and notes:
            notes[SECONDS] = seconds

    return _reported(task.name, action, [image], way)


def _answer(image: Image, question: Question, **options: bool | str) -> TaskFailed | None:
    """A task's action: answer the question."""
    name = f"{question.name}:{image.name}"
    return _reported(name, lambda: question.answer(image, _context(image), **options), [image])


def _do(images: list[Image], chore: Chore, **options: bool) -> TaskFailed | None:
    """A task's action: do the chore."""
    return _reported(chore.name, lambda: chore.answer(images, _say_plainly, **options), images)


def _reported(task: str, action: Callable[[], object], images: list[Image], way: Way = None) -> TaskFailed | None:
    """Do what a task is for. A message for the user becomes a TaskFailed; a defect keeps its traceback."""
    listen()  # in a child process of doit -n too, as the next
    take_all(sys.__stdout__)
    try:
        action()
    except PackageError as error:
        return TaskFailed(f"{error}\nshell: doit shell:{task.partition(':')[2]}")
    except QuernError as error:
        return TaskFailed(str(error))
    except OSError as error:
        refusals = (of_the_machine(error), *(removed_meanwhile(error, image.work) for image in images))
        if refusal := next(filter(None, refusals), None):
            return TaskFailed(str(refusal))
        raise
    except (Interrupted, KeyboardInterrupt) as error:  # of the latter doit would print a traceback
        say(way, f"{task} interrupted; run it again to go on")
        raise Interrupted(str(error) or 130) from None
    return None


def _clean(image: Image, step: Step, dryrun: bool) -> None:
    """Remove what the step has made, and nothing else."""
    _removed(f"{step.name}:{image.name}", lambda: base.clean_step(step, _context(image), dryrun))


def _clear(image: Image, question: Question, dryrun: bool) -> None:
    """Remove what the question has written, and nothing else."""
    _removed(f"{question.name}:{image.name}", lambda: clear(image, question, dryrun))


def _removed(task: str, action: Callable[[], list[Path]]) -> None:
    """Remove, and say what."""
    listen()
    try:
        for path in action():
            print(f"{task} - removing {path}")
    except (QuernError, OSError) as error:
        refusal = of_the_machine(error) if isinstance(error, OSError) else error
        if refusal is None:
            raise
        # doit would print a traceback; and it holds what goes to sys.stderr back until the action has ended
        print(f"{task} - {refusal}", file=sys.__stderr__)
        raise SystemExit(1) from None


def _context(image: Image, common: Common | None = None, way: Way = None) -> Run:
    tell = partial(say, way, image=image.name)  # with two images at once their lines mix
    return Run(driver_of(image, tell), tell, common)


def _say_plainly(line: str) -> None:
    """Show a line that is about no image alone."""
    say(None, f"   {line}")
