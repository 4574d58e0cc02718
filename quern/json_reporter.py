"""Show a run as one JSON object a line, for CI: a doit reporter, `quern-json` by its name for `doit -r`.

  {"event": "start", "task": "packages:hello"}
  {"event": "say", "image": "hello", "text": "Configuring build/hello/portage"}
  {"event": "package", "image": "hello", "package": "sys-libs/musl-1.2.5", "state": "built", "seconds": 40.1}
  {"event": "done", "task": "packages:hello", "seconds": 134.2}

A step says lines of text, and what `steps.events` lists. Tasks that answer questions print their text as ever.
"""

from __future__ import annotations

from typing import Any

from quern.interrupts import heard
from quern.reporter import SECONDS, Reporter, json_line


class JsonReporter(Reporter):
    """Write the events of a run, each in one piece."""

    desc = "one JSON object a line, for programs"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:  # noqa: ANN401 (as doit gives it)
        super().__init__(outstream, options)
        self._way = "json"

    def execute_task(self, task: Any) -> None:  # noqa: ANN401 (doit ships no types)
        """A task begins."""
        if task.actions:  # else it is a group
            self._event("start", task=task.name)

    def add_success(self, task: Any) -> None:  # noqa: ANN401
        """A task has ended well; `seconds` is only there if a step ran."""
        if task.actions:
            seconds = (task.meta or {}).get(SECONDS)
            self._event("done", task=task.name, **({} if seconds is None else {"seconds": round(seconds, 3)}))

    def add_failure(self, task: Any, fail: Any) -> None:  # noqa: ANN401
        """A task has failed, or could not begin."""
        self._event("failed", task=task.name, text=fail.get_msg().strip("\n"))

    def skip_uptodate(self, task: Any) -> None:  # noqa: ANN401
        """A task has nothing to do."""
        self._event("kept", task=task.name)

    def skip_ignore(self, task: Any) -> None:  # noqa: ANN401
        """A task is left out, as the user has told doit."""
        self._event("ignored", task=task.name)

    def complete_run(self) -> None:
        """All is over; errors of doit itself come last."""
        for message in self.runtime_errors:
            self._event("error", text=message.strip("\n"))

    def _event(self, event: str, **fields: object) -> None:
        with heard():
            self.outstream.write(json_line(event, **fields))
            self.outstream.flush()
