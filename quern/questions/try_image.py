"""try:NAME: run the finished image as `docker run` would, in namespaces, without a daemon.

Its program, user, environment and folder are those of [dockergen]; it writes to a copy of the image, which is thrown
away. The task ends with the program's exit status.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from quern.project import Image
from quern.steps.base import Run

NOTHING = """\
[dockergen] of {image} has no entrypoint and no command; say what to run: doit try:{image} --command='/bin/sh'"""
NO_PROGRAM = "--command={text}: expected a program after the variables"
NOWHERE = "{image} cannot be run here: this machine allows no namespaces ({reason})"
BANNER = "{program} runs in a copy of the image; nothing done there is kept"
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


class Program(NamedTuple):
    """What to run, and variables that are added to the image's environment."""

    argv: tuple[str, ...]
    environment: dict[str, str]


def answer(image: Image, run: Run, *, command: str, arguments: str, network: bool) -> None:
    """Run it; a status other than 0 is then raised as Ended. Raises ConfigError, BuildError and DriverError."""
    from quern.drivers import terminal
    from quern.drivers.attached import attached
    from quern.interrupts import Ended
    from quern.steps.copies import copied
    from quern.steps.trying import inside

    program = program_of(image, command, arguments)
    environment = {**({"TERM": "xterm"} if terminal.is_there() else {}), **program.environment}
    with copied(image, run.say) as root:
        _check(image, root, network=network)
        if terminal.is_there():
            run.say(BANNER.format(program=program.argv[0]))
        status = attached(inside(image, root, program.argv, network=network, environment=environment), {})
    if status:
        raise Ended(status)


def program_of(image: Image, command: str, arguments: str) -> Program:
    """What the options stand for. Raises ConfigError.

    As in a shell, words VARIABLE=VALUE at the beginning of `command` are variables: images need not have a shell, or
    env(1), that would set them.
    """
    from quern.errors import ConfigError

    said = image.settings.dockergen
    words, environment = list(_words("command", command)), dict[str, str]()
    while words and not command.startswith("[") and (match := ASSIGNMENT.fullmatch(words[0])):
        environment[match[1]] = match[2]
        del words[0]
    if command and not words:
        raise ConfigError(NO_PROGRAM.format(text=command))
    default = () if command else said.command or ()
    argv = (*(words or said.entrypoint or ()), *(_words("arguments", arguments) if arguments else default))
    if not argv:
        raise ConfigError(NOTHING.format(image=image.name))
    return Program(argv, environment)


def _words(option: str, text: str) -> tuple[str, ...]:
    from quern.config.container import argv
    from quern.config.values import Context, Unfit
    from quern.errors import ConfigError

    try:
        return argv(text, Context(Path(), None))
    except Unfit as error:
        raise ConfigError(f"--{option}={text}: expected {error.expected}") from None


def _check(image: Image, root: Path, *, network: bool) -> None:
    """Raise DriverError if nothing can be run there: a program's own status could not be told from that."""
    from quern.drivers.limit import run_for
    from quern.errors import DriverError
    from quern.portage.tracebacks import condensed
    from quern.steps.trying import inside
    from quern.worker import IMPOSSIBLE

    said: list[bytes] = []
    status = run_for(0, inside(image, root, [], network=network), said.append)
    reason = b"".join(said).decode(errors="replace").strip()
    if status == IMPOSSIBLE:
        raise DriverError(NOWHERE.format(image=image.name, reason=reason))
    if status:
        raise DriverError(condensed(reason))
