"""Asking the user, once, before anything is built ([emerge] ask)."""

from __future__ import annotations

from quern.errors import BuildError
from quern.interrupts import heard

YES = ("", "y", "yes")


def confirm(question: str) -> None:
    """Ask `question` at the terminal. Raises BuildError unless the answer is yes, which an empty line is too."""
    with heard():
        try:
            answer = input(f"{question} [Yes/No] ")
        except EOFError:
            answer = "no"
    if answer.strip().lower() not in YES:
        raise BuildError("emerge.ask: the answer was not yes; nothing is built")
