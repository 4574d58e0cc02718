"""Commands of the raw driver in namespaces of their own: which, whether this machine lets us, what a failure means."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from quern.drivers import seccomp
from quern.drivers.base import Reach, Shown
from quern.errors import DriverError
from quern.worker.spellings import names

WORKER = Path(__file__).parent.parent / "worker"
OPTION = "[build] confine = off"

REFUSED = """\
build.confine = on: builds cannot be confined on this machine: {reason}
It takes Linux 5.12, and for an ordinary user the permission to make user namespaces"""
WARNING = """\
Warning: builds are not confined: they can do on this machine whatever you can ({reason});\
 [build] confine = on makes this an error, off is silent"""

NO_NETWORK = (
    r"Network is unreachable|Temporary failure in name resolution|Name or service not known"
    r"|(?i:could not resolve (?:host|proxy))|unable to resolve host"
)
ON_NETWORK = "Builds have no network, their sources are fetched before. To give them one: {option}"
ON_WRITING = "Builds may write to their own folders only. To let them write wherever you can: {option}"

_warned = set[str]()  # what has been said once in this process


def worker(*words: str, python: str = "") -> list[str]:
    """The command line of a verb of the worker, which ends with this process.

    Its `python` is by default ours, which needs none of what is installed beside it. Neither writes bytecode: the
    folder is an installed package's, and that of another Python is none of its business.
    """
    interpreter = [python, "-I"] if python else [sys.executable, "-I", "-S"]
    return [*interpreter, "-B", str(WORKER), f"--parent={os.getpid()}", *words]


def confined(argv: Sequence[str], reach: Reach, folder: Path, python: str) -> list[str]:
    """The command line that runs `argv` confined; `python` is that of the command."""
    interpreters = [Path(name).parent for name in names(python)]
    readable = [WORKER, *interpreters, *reach.readable]
    request = {
        "writable": [str(path) for path in reach.writable],
        "readable": _prefixes(readable),
        "shown": [[str(each.here), each.there, each.writable] for each in reach.shown],
        "hidden": [str(path) for path in reach.hidden],
        "folder": str(folder),
        "filter": seccomp.encoded(),
    }
    return worker("confine", json.dumps(request), *argv)


def _prefixes(paths: Iterable[Path]) -> list[str]:
    """The paths; with a folder of programs what they are installed with, which lies beside it."""
    found = list(paths)
    return [str(path) for path in [*found, *(path.parent for path in found if path.name in ("bin", "sbin"))]]


@cache
def obstacle() -> str:
    """Why commands cannot be confined on this machine; empty if they can."""
    reach = Reach(shown=[Shown(WORKER, "/run/quern/worker")])  # not where there is no /run
    argv = confined([], reach, Path("/"), sys.executable)
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={})
    said = ran.stderr.decode(errors="replace").strip().splitlines()
    return (said[-1] if said else f"exit status {ran.returncode}") if ran.returncode else ""


def is_possible(confine: str, say: Callable[[str], None]) -> bool:
    """Whether to confine under the option's value `confine`; a machine that forbids it is mentioned once.

    Raises DriverError if it forbids what the user insists on.
    """
    if confine == "off":
        return False
    reason = obstacle()
    if reason and confine == "on":
        raise DriverError(REFUSED.format(reason=reason))
    if reason and reason not in _warned:
        _warned.add(reason)
        say(WARNING.format(reason=reason))
    return not reason


def unlike(noise: bytes) -> str:
    """What to say where one command could not be confined, though this machine allows it in general."""
    said = noise.decode(errors="replace").strip().splitlines() or ["no reason given"]
    return f"this build cannot be confined: {said[-1]}; to build without: {OPTION}"


def hint(output: str, option: str) -> str:
    """A sentence on what a confined command seems to have been kept from; empty if from nothing."""
    if "Read-only file system" in output:
        return ON_WRITING.format(option=option)
    return no_network(output, option)


def no_network(output: str, option: str) -> str:
    """A sentence on the network, if a command seems to have missed it; `option` gives it one."""
    return ON_NETWORK.format(option=option) if option and re.search(NO_NETWORK, output) else ""
