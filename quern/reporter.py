"""What doit shows while it runs: a doit reporter, `quern` by its name for `doit -r`.

On a terminal each image that is being built has a few lines that are rewritten, and each finished step leaves one.
Elsewhere every line begins with the time, and nothing is rewritten.

With `doit -n` actions run in processes of their own. What is going on in them is read from the logs on disk; what they
have to say they write to the terminal themselves. That works because the cursor always stands at the beginning of the
lines that are rewritten: whoever writes clears what is below, and they are drawn again under it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from time import strftime
from typing import IO, TYPE_CHECKING, Any, Literal

from doit.reporter import ConsoleReporter

from quern.encoding import take_all
from quern.errors import display
from quern.interrupts import heard
from quern.steps import receipt as receipts
from quern.steps.base import Step
from quern.steps.events import Event
from quern.steps.together import TOGETHER, Member
from quern.terminal import folded, harmless, is_terminal, write

if TYPE_CHECKING:
    from quern.live import Live
    from quern.project import Image

Way = Literal["terminal", "lines", "json"] | None  # how this reporter shows things; None where another one does
WAY, SECONDS = "quern_way", "quern_seconds"  # in a task's meta, which goes to the process that runs it, and back
SHOWN = 5  # names of up-to-date images in their line
# What a terminal shows in another way: the stages of a build, as they have been said from the first version on.
STAGE = re.compile(
    r"Successfully loaded |Configuring |Enabling |Calling |>>> |Pruning |Collecting |Starting |Waiting for container"
    r"|Connecting to |Building full |Image .* successfully built|Creating |Removing |  logs: "
)


def say(way: Way, line: str, image: str = "") -> None:
    """Show a line of a running action, about `image` if that is named.

    On a terminal stages go to standard output, which doit keeps to itself there unless told `-v 2`.
    """
    kind, fields = (line.kind, line.fields) if isinstance(line, Event) else ("say", {"text": harmless(line).strip()})
    line = harmless(line)
    if way == "json":
        with heard():
            print(json_line(kind, **({"image": image} if image else {}), **fields), end="", flush=True)
    elif not line:
        return
    elif way == "terminal":
        stream = sys.stdout if STAGE.match(line) else sys.stderr
        write(stream, folded(stream, line, f"    {image}  ") if image else f"{line}\n")
    else:
        text = f"   {image}: {line}" if image else line
        with heard():
            line = f"{strftime('%H:%M:%S')} {text}" if way == "lines" else text
            print(f"{line}\n", end="", flush=True)  # in one piece: containers run in threads


def json_line(event: str, **fields: object) -> str:
    """Spell an event as a line of ASCII; what was no UTF-8 in a name is escaped as Python has it (PEP 383)."""
    return f"{json.dumps({'event': event, **fields})}\n"


class Reporter(ConsoleReporter):  # type: ignore[misc]
    """See the module's docstring."""

    desc = "progress of the images on a terminal, elsewhere lines with the time"

    def __init__(self, outstream: IO[str], options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        take_all(outstream)
        utf8 = str(getattr(outstream, "encoding", "")).lower().startswith("utf")  # or what is drawn cannot be written
        self._way: Way = "terminal" if utf8 and is_terminal(outstream) else "lines"
        self._current: dict[str, list[str]] = {}  # names of images: their up-to-date steps, not shown yet
        self._busy: set[str] = set()  # images of which a step has run
        self._live: Live | None = None

    def initialize(self, tasks: Mapping[str, Any], selected_tasks: list[str]) -> None:
        """The run begins: packages of several images are built together, once it is known what all consist of.

        doit takes the selected tasks from this very list, afterwards.
        """
        super().initialize(tasks, selected_tasks)
        members = {name: TOGETHER.known[name] for name in _needed(tasks, selected_tasks) if name in TOGETHER.known}
        if len(members) > 1:
            selected_tasks[:0] = [f"{each.before.name}:{each.image.name}" for each in members.values()]
            TOGETHER.expect(members, self._run_beside)

    def _run_beside(self, members: Iterable[Member]) -> None:
        """Show how far these are, whose tasks come later."""
        if self._way == "terminal":
            for image, _, step in members:
                self._drawing.begin(f"{step.name}:{image.name}", image.name, step)

    def write(self, text: str) -> None:
        """Write a message of one or more lines."""
        with heard():
            is_line = self._way == "lines" and text.strip("#\n")
            self.outstream.write(f"{strftime('%H:%M:%S')} {text}" if is_line else text)
            self.outstream.flush()

    def get_status(self, task: Any) -> None:  # noqa: ANN401 (doit ships no types)
        """A task is looked at: its action is told how things are shown."""
        if found := _of_ours(task):
            task.meta = {**(task.meta or {}), WAY: self._way}
            if self._way == "terminal" and not _asks(*found):
                task.verbosity = None  # that of the command line, else doit's default

    def execute_task(self, task: Any) -> None:  # noqa: ANN401
        """A task begins."""
        if not task.actions:  # a group
            return
        found = _of_ours(task)
        if self._way == "terminal":
            self._show_current()
            if found and not _asks(*found):
                self._busy.add(found[0].name)
                self._drawing.begin(task.name, found[0].name, found[1])
                return
            self._drawing.yield_to(task.name)
        super().execute_task(task)
        if found and found[1].emerges and not _asks(*found):
            self.write(f"   {found[0].name}: emerge's output goes to {display(found[1].place.log)}\n")

    def add_success(self, task: Any) -> None:  # noqa: ANN401
        """A task has ended well."""
        if not task.actions:
            return
        seconds, found = (task.meta or {}).get(SECONDS), _of_ours(task)
        made = _made(found[1]) if found and seconds is not None else ""
        if self._way == "lines":
            if seconds is not None:
                from quern.progress import duration

                self.write(f"   {task.name} is finished{made and f': {made}'} ({duration(seconds)})\n")
        elif self._drawing.end(task.name) is not None and found:
            if seconds is None:
                self._current.setdefault(found[0].name, []).append(found[1].name)
            else:
                self._drawing.finished(found[0].name, found[1].name, made, seconds)

    def add_failure(self, task: Any, fail: Any) -> None:  # noqa: ANN401
        """A task has failed, or could not begin."""
        if self._way == "lines":
            super().add_failure(task, fail)
            return
        found, seconds = _of_ours(task), self._drawing.end(task.name)
        if not found or seconds is None or not fail.report:
            with self._drawing.aside():
                super().add_failure(task, fail)
            return
        text = fail.get_msg().strip("\n")
        if found[1].emerges and "log: " not in text and found[1].place.log.exists():
            text += f"\nlog: {display(found[1].place.log)}"
        self._drawing.failed(found[0].name, found[1].name, text, seconds)

    def skip_uptodate(self, task: Any) -> None:  # noqa: ANN401
        """A task has nothing to do."""
        if self._way == "lines":
            super().skip_uptodate(task)
        elif task.name[0] != "_":
            step, _, image = task.name.partition(":")
            self._current.setdefault(image or step, []).append(step)

    def skip_ignore(self, task: Any) -> None:  # noqa: ANN401
        """A task is left out, as the user has told doit."""
        if self._way == "lines":
            super().skip_ignore(task)
        else:
            with self._drawing.aside():
                super().skip_ignore(task)

    def complete_run(self) -> None:
        """All is over, well or not."""
        if self._live:
            self._live.close()
        self._show_current()
        super().complete_run()

    @property
    def _drawing(self) -> Live:
        if self._live is None:
            from quern.live import Live

            self._live = Live(self.outstream)
        return self._live

    def _show_current(self) -> None:
        """Show the up-to-date steps in one line; of an image without any other by its name alone."""
        if not self._current:
            return
        whole = [name for name, steps in self._current.items() if steps[-1] == "image" and name not in self._busy]
        more = f" and {len(whole) - SHOWN} more" if len(whole) > SHOWN else ""
        parts = [", ".join(whole[:SHOWN]) + more] if whole else []
        parts += [f"{name}  {', '.join(steps)}" for name, steps in self._current.items() if name not in whole]
        self._current.clear()
        dim, plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[2m", "\x1b[0m")
        write(self.outstream, f"{dim}  · {'; '.join(parts)} up to date{plain}\n")


def _needed(tasks: Mapping[str, Any], selected: Iterable[str]) -> dict[str, None]:
    """The names of the selected tasks and of all that they depend on."""
    found, todo = dict[str, None](), list(reversed(list(selected)))
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = None
            todo += reversed(tasks[name].task_dep)
    return found


def _of_ours(task: Any) -> tuple[Image, Step] | None:  # noqa: ANN401
    """The image and the step of a task that brings a step up to date."""
    arguments = getattr(task.actions[0], "args", None) if task.actions else None
    if not arguments or not isinstance(arguments[-1], Step):
        return None
    image, step = arguments
    return image, step


def _asks(image: Image, step: Step) -> bool:
    """Whether the user is asked at the terminal meanwhile."""
    return step.asks and image.settings.emerge.ask


def _made(step: Step) -> str:
    receipt = receipts.read(step.place.receipt)
    return step.made(receipt) if receipt else ""
