"""Asking the user, once, before anything is built ([emerge] ask)."""

from __future__ import annotations

import sys

from quern.errors import BuildError
from quern.interrupts import heard

YES = ("", "y", "yes")


def check_terminal() -> None:
    """Raise BuildError if there is nobody to ask."""
    if not sys.stdin.isatty():
        raise BuildError("emerge.ask = on needs a terminal to ask at, and there is none")


def confirm(question: str) -> None:
    """Ask `question` at the terminal. Raises KeyboardInterrupt unless the answer is yes, as an empty line is."""
    with heard():
        try:
            answer = input(f"{question} [Yes/No] ")
        except EOFError:
            answer = "no"
    if answer.strip().lower() not in YES:
        raise KeyboardInterrupt
