"""Who builds which package of a store: several runs may want the same, one of them builds it.

STORE/.claims/CATEGORY_NAME-KEY    held with flock(2) by the run that builds it; says who that is

The kernel gives a claim back when its holder dies, however it dies: what is left of it then is a file that means
nothing.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from time import strftime

from quern.portage.store import KEY_DIGITS

FOLDER = ".claims"


class Claim:
    """The right to build one package, until it is given up."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def give_up(self) -> None:
        """Let others have it."""
        with suppress(FileNotFoundError):
            self._path.unlink()  # before: who opens it now makes a new one
        os.close(self._descriptor)


def claim(store: Path, cpv: str, key: str) -> Claim | None:
    """Claim the package `cpv` with this key in the store at the path `store`; None if another run has it."""
    path = _path(store, cpv, key)
    path.parent.mkdir(exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # its holder has just removed it
    text = f"process {os.getpid()} on {os.uname().nodename}, since {strftime('%Y-%m-%d %H:%M:%S')}"
    with suppress(OSError):  # a full disk: it is there for people to read
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
    return Claim(path, descriptor)


def holder(store: Path, cpv: str, key: str) -> str:
    """Who has the claim to a package, in words."""
    try:
        return _path(store, cpv, key).read_text("utf-8", "replace")[:200] or "another run"
    except OSError:
        return "another run"


def _path(store: Path, cpv: str, key: str) -> Path:
    return store / FOLDER / f"{cpv.replace('/', '_')}-{key[:KEY_DIGITS]}"
