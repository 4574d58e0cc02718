"""Ends a container of an image in which nothing of ours can run, when quern has ended, however that came about."""

from __future__ import annotations

import os
import socket
import sys
import time

DONE = b"done"
PATIENCE = 60  # seconds; a daemon on a slow disk takes its time


def guard(address: str, container: str) -> int:
    """Remove `container` at the end of standard input, which quern holds, unless DONE came before.

    `address` is the path of the daemon's socket.
    """
    if sys.stdin.buffer.read() != DONE:
        ask(address, "DELETE", f"/containers/{container}?force=true&v=true")
    return 0


def ask(address: str, method: str, path: str) -> None:
    """One request to the daemon, and no more than a wait for its answer: there may be nothing left to be done."""
    deadline = time.monotonic() + PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.connect(address)
            connection.sendall(os.fsencode(f"{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n"))
            while connection.recv(1 << 16) and time.monotonic() < deadline:
                pass
        except OSError:
            return
