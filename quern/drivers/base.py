"""The interface between steps and the place where their commands run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Command(NamedTuple):
    """A command to run: argv, its whole environment (nothing is inherited), folder, and log file.

    `terminal` hands it the user's terminal (emerge --ask); its output is then not read.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    terminal: bool = False


class Driver(Protocol):
    """A place where commands run."""

    def run(self, command: Command, line: Callable[[str], None]) -> int:
        """Run `command` and return its exit status (128 + N when signal N ended it).

        Every line of its output goes to its log and to `line`. Ctrl-C or SIGTERM here ends all its processes first.
        """
        ...

    def call(self, verb: str, *, environment: Mapping[str, str] | None = None, **params: object) -> dict[str, Any]:
        """Run a verb of the worker and return its answer. Raises QuernError with the worker's message."""
        ...
