"""Process 1 of a container: runs one command, and ends when quern does.

quern holds the other end of standard input. Its end, however quern came to it, ends this process, and with it the
kernel ends everything else in the container (pid_namespaces(7)).
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from .installation import locate
from .reap import reap
from .removal import remove_tree

TERMINATED = 128 + signal.SIGTERM
NO_ROOM = 28  # ENOSPC; of what is run here, emerge fails with 1
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def supervise() -> int:
    """Run what the first line of standard input describes; returns the exit status, 128 + N for signal N.

    {"argv" or "verb": a command, or a verb of the worker for the Python that has Portage; "environment": all of it,
    null for this process's own; "folder": where to run; "input": text for its standard input; "merge": whether its
    standard error goes where its output does; "give": [folder, uid, gid] to whom all files and folders in a
    folder are given, after a failure too; "scratch": a folder, empty when the command begins and gone when it ends,
    unless it fails and "keep" is true}

    The status is NO_ROOM for a command that has failed where the file system of "scratch" is full.
    """
    signal.signal(signal.SIGTERM, _leave)
    request = json.loads(_first_line())
    threading.Thread(target=_wait_for_end, daemon=True).start()
    scratch = request.get("scratch")
    if scratch:
        _discard(scratch)
        _make(scratch)
    argv = request.get("argv") or _worker(request["verb"])
    text = request.get("input")
    child = subprocess.Popen(
        argv,
        env=request["environment"],
        cwd=request.get("folder"),
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
        stderr=subprocess.STDOUT if request.get("merge") else None,
        start_new_session=True,
    )
    if child.stdin is not None:
        child.stdin.write(text.encode())
        child.stdin.close()
    status = reap(child.pid)
    if "give" in request:
        _give(*request["give"])
    if scratch and status and _is_full(scratch):
        status = NO_ROOM
    if scratch and not (status and request["keep"]):
        _discard(scratch)
        with suppress(OSError):  # there is something else in it
            os.rmdir(os.path.dirname(scratch))
    return status


def _give(path: str, uid: int, gid: int) -> None:
    """Change the owner of the file at `path`, or of all that is in the folder there; of links and devices nothing."""
    found = [os.path.join(folder, name) for folder, folders, files in os.walk(path) for name in folders + files]
    for name in found or [path]:
        with suppress(OSError):  # it was not made
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if stat.S_IFMT(os.fstat(handle).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                    os.chown(f"/proc/self/fd/{handle}", uid, gid)
            finally:
                os.close(handle)


def _discard(folder: str) -> None:
    with suppress(OSError):
        remove_tree(os.fsencode(folder))


def _make(folder: str) -> None:
    """Make a folder; that above it may be removed by another container meanwhile, as it is empty."""
    while not os.path.isdir(folder):
        with suppress(FileNotFoundError):
            os.makedirs(folder, exist_ok=True)


def _is_full(folder: str) -> bool:
    """Whether there is next to no room: a linker removes what it could not write, so a little is free again."""
    system = os.statvfs(folder)
    size, free = system.f_blocks * system.f_frsize, system.f_bavail * system.f_frsize
    return free < min(size // 8, 16 << 20)


def _worker(verb: str) -> list[str]:
    """The command line of another verb, for the Python that has Portage, if there is one."""
    installation = locate(os.environ.get("PATH") or SEARCH)
    python = str(installation.python) if installation else sys.executable
    return [python, "-I", "-B", os.path.dirname(os.path.abspath(__file__)), verb]


def _first_line() -> bytes:
    """The one line that quern writes; not through a buffered file, which a waiting thread would keep locked at exit."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            os._exit(TERMINATED)
        line += piece
    return line


def _wait_for_end() -> None:
    while os.read(0, 1 << 16):
        pass
    os._exit(TERMINATED)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)
