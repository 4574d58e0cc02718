"""How a process that quern starts begins: it ends with quern, and a terminal that it is given becomes its own.

Here and not between fork and exec: Python code that runs there may find a lock held for ever by a thread that the
child does not have (subprocess, `preexec_fn`).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import termios
from typing import NoReturn

NOT_FOUND = 127
PR_SET_PDEATHSIG = 1


def begin(parent: int) -> None:
    """Ask the kernel for SIGTERM when the process `parent` is gone, SIGKILL included (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before
        os.kill(os.getpid(), signal.SIGTERM)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # ioctl_tty(2); this process leads a session without one


def start(*argv: str) -> NoReturn:
    """Become the command `argv`, with the environment that this process was given.

    In the C locale Python adds LC_CTYPE to its own (PEP 538).
    """
    with open("/proc/self/environ", "rb") as file:
        given = dict(row.split(b"=", 1) for row in file.read().split(b"\0") if b"=" in row)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(argv[0], argv, given)
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(NOT_FOUND)
