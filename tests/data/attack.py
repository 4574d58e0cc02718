"""What the ebuild of a stranger might try; run while it is installed. Says how each attempt ended, a line each.

attack.py HOME OUTSIDE PORT ABSTRACT SOCKET PID STAGING TOKEN: folders of the test, a server's port, names of Unix
sockets, a process, the step's folder, a word for files and processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Callable

HOME, OUTSIDE, PORT, ABSTRACT, SOCKET, PID, STAGING, TOKEN = sys.argv[1:]


def attempt(name: str, what: Callable[[], object]) -> None:
    try:
        what()
    except OSError as error:
        print(name, type(error).__name__)
    else:
        print(name, "done")


def write(path: str) -> None:
    with open(path, "w") as file:
        file.write("x")


def connect(family: int, address: object) -> None:
    with socket.socket(family) as client:
        client.settimeout(5)
        client.connect(address)  # type: ignore[arg-type]


def loopback() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        connect(socket.AF_INET, server.getsockname())


def device() -> None:
    """A device node of one's own, here that of /dev/null."""
    os.mknod("node", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    write("node")


def remount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(None, b"/", None, ctypes.c_ulong(32 | 4096), None) < 0:  # MS_REMOUNT | MS_BIND, not read-only
        raise OSError(ctypes.get_errno(), "mount")


def touched(path: str) -> None:
    """Change nothing but the time at which the file was changed."""
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def call(number: int, *arguments: int | bytes) -> None:
    """A system call, by its number on x86_64."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), str(number))


def daemon() -> None:
    """A process that has left everything that it could be found by."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for descriptor in range(64):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            os.execv("/bin/sh", ["sh", "-c", f"while :; do sleep 1; done # {TOKEN}"])
        os._exit(0)


attempt("rm", lambda: [os.unlink(os.path.join(HOME, name)) for name in os.listdir(HOME)])
shutil.rmtree(HOME, ignore_errors=True)
for folder in (HOME, OUTSIDE, "/etc"):
    attempt("write", lambda folder=folder: write(f"{folder}/{TOKEN}"))
for folder in ("/dev/shm", "/tmp", "/var/tmp", "/run", "/dev"):
    attempt("private", lambda folder=folder: write(f"{folder}/{TOKEN}"))
attempt("network", lambda: connect(socket.AF_INET, ("127.0.0.1", int(PORT))))
attempt("abstract", lambda: connect(socket.AF_UNIX, "\0" + ABSTRACT))
attempt("socket", lambda: connect(socket.AF_UNIX, SOCKET))
attempt("kill", lambda: os.kill(int(PID), signal.SIGKILL))
attempt("device", device)
attempt("remount", remount)
attempt("log", lambda: os.symlink(f"{OUTSIDE}/victim", f"{os.path.dirname(OUTSIDE)}/project/build/one/logs/{TOKEN}"))
for file in ("packages.lock", "ingredients.json", "watch.json"):
    attempt("link", lambda file=file: os.symlink(f"{OUTSIDE}/victim", f"{STAGING}/{file}"))
for file in ("/proc/1/fd/0", "/proc/self/fd/0", "/proc/1/exe", "/proc/1/cwd"):
    attempt("held", lambda file=file: touched(file))
if os.uname().machine == "x86_64":
    attempt("keyring", lambda: call(248, b"user", b"quern", b"x", 1, -4))  # add_key to @u
    attempt("namespace", lambda: call(272, 0x10000000))  # unshare
attempt("vsock", lambda: socket.socket(40, socket.SOCK_STREAM))
attempt("loopback", loopback)
attempt("daemon", daemon)
