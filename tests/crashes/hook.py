"""A doit that ends at one chosen change of the file system, made by itself or by a worker that it waits for.

    python hook.py PYTHON doit-arguments       doit, its workers run by PYTHON
    PYTHON -I ... WORKER ... VERB ...          a copy of this file: runs the worker, and counts too

Beside PYTHON lies `counter`, four numbers that all share: changes so far, the one to end at, doit, the signal.
Counting begins with the lock of a work folder: what comes before is Python's and doit's own.
"""

from __future__ import annotations

import mmap
import os
import runpy
import signal
import sys
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path

# audit events (PEP 578) of what changes the file system, or has another process change it; fsync(2) has none
CHANGES = {
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.setxattr", "os.symlink",
    "os.truncate", "os.utime", "subprocess.Popen",
}  # fmt: skip
COUNTED = ("clone", "digest", "pack", "remove")  # verbs; others are confined, and reach no counter
SIZE = 32


def count(counter: Path) -> None:
    """From now on count changes, and end doit at the one that `counter` says, before it is made."""
    with counter.open("r+b") as file:
        numbers = memoryview(mmap.mmap(file.fileno(), SIZE)).cast("q")

    def hook(event: str, arguments: Sequence[object]) -> None:
        if event == "open":
            path, flags = str(arguments[0]), arguments[2]
            writing = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and path != "/dev/null"
            if not (writing and (numbers[0] or path.endswith("/lock"))):
                return
        elif event not in CHANGES or not numbers[0]:
            return
        numbers[0] += 1
        if numbers[0] == numbers[1]:
            os.kill(numbers[2], numbers[3])
            if numbers[3] == signal.SIGKILL:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def main() -> None:
    """See the module's docstring."""
    if sys.argv[1] == "-I":
        words = list(dropwhile(lambda word: word.startswith("-"), sys.argv[1:]))
        if set(words[1:3]).intersection(COUNTED):  # the first may be an option
            count(Path(__file__).with_name("counter"))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    else:
        sys.executable, *sys.argv[1:] = sys.argv[1:]
        count(Path(sys.executable).with_name("counter"))
        runpy.run_module("doit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
