"""What process 1 owes the others."""

from __future__ import annotations

import os


def reap(wanted: int) -> int:
    """Wait for a child, and for everything that has lost its parent; returns the child's status, 128 + N for signal N.

    Nobody but process 1 gets what has lost its parent: there this is plain waiting.
    """
    while True:
        process, status = os.wait()
        if process == wanted:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
