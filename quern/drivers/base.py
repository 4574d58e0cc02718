"""The interface between steps and the place where their commands run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Shown(NamedTuple):
    """A folder of this machine, `here`, that a confined command finds at the path `there`."""

    here: Path
    there: str
    writable: bool = False


class Reach(NamedTuple):
    """What a confined command reaches of this machine.

    writable    the folders that it may write to, which are there; to all else it may not
    readable    what it is told to read: that must be found even in folders for temporary files, which are hidden
    shown       folders that have another name there; only where the driver confines
    hidden      folders and files that are not to be found at their own place; a folder that has something readable in
                it stays
    recipe      a folder that has, by name, what stands for the repositories: where these have places of their own,
                as in a container, it has what is there
    """

    writable: Sequence[Path] = ()
    readable: Sequence[Path] = ()
    shown: Sequence[Shown] = ()
    hidden: Sequence[Path] = ()
    recipe: Path | None = None


class Command(NamedTuple):
    """A command to run: argv, its whole environment (nothing is inherited), folder, log file, and reach.

    `folder` and what argv names are called as the command finds them, the log as quern does. `logs` is a folder in
    which all that it leaves is to belong to this user; `name` tells it from others that run at the same time, in
    letters, digits and .-_ alone. `terminal` gives a shell a terminal of its own, which the user's shows; Ctrl-C is the
    command's then. Where commands are confined, none has a network.
    """

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    reach: Reach = Reach()
    logs: Path | None = None
    terminal: bool = False
    name: str = ""


class Driver(Protocol):
    """A place where commands run."""

    @property
    def offline(self) -> str:
        """The option that gives commands a network; empty where they have one."""
        ...

    @property
    def confines(self) -> bool:
        """Whether commands are confined, and may find folders under other names (Reach.shown)."""
        ...

    @property
    def throwaway(self) -> bool:
        """Whether a command may write to `/` as it likes: nobody but itself will ever see it."""
        ...

    @property
    def streams(self) -> bool:
        """Whether every line of a command is shown to the user by the driver itself."""
        ...

    def run(self, command: Command, line: Callable[[str], None]) -> int:
        """Run `command` and return its exit status (128 + N when signal N ended it).

        Every line of its output goes to its log and to `line`. Ctrl-C or SIGTERM here ends all its processes first.
        Other threads may run other commands meanwhile.
        """
        ...

    def stop(self) -> None:
        """End what `run` has begun in other threads, and begins later; in those threads it raises DriverError."""
        ...

    def shell(self, command: Command, line: Callable[[str], None]) -> int:
        """Run `command` beside a build, for the user, and return its exit status.

        With `terminal` it has a terminal of its own, which the user's shows; without one, its output goes to `line`.
        Where commands run in containers, in one of their image that is thrown away, and nothing else is swept up.
        """
        ...

    def call(
        self, verb: str, *, environment: Mapping[str, str] | None = None, reach: Reach | None = None, **params: object
    ) -> dict[str, Any]:
        """Run a verb of the worker and return its answer. Raises QuernError with the worker's message.

        A verb with a `reach` is confined like a command: what strangers wrote is run there.
        """
        ...

    def stream(self, verb: str, sink: Callable[[bytes], object], **params: object) -> dict[str, Any]:
        """Run a verb that writes bytes, give those to `sink`, and return its answer. Raises QuernError.

        What `sink` raises ends the verb first. That all bytes have come, the caller compares with the answer.
        """
        ...

    def hint(self, output: str) -> str:
        """What the place may have to do with a failure, from the failed command's output; empty if nothing."""
        ...

    def scratch(self, folder: Path, name: str = "") -> str:
        """Where the command `name` has room for what it alone needs, as it is called there: `folder`, or a new one."""
        ...

    def clear(self) -> None:
        """Remove what failed commands have left besides files of this machine."""
        ...

    def inside(self, path: Path) -> str:
        """Where the commands find a file or folder of this machine."""
        ...

    def outside(self, path: str) -> str:
        """The reverse of `inside`; a path that is not of this machine stays as it is."""
        ...
