"""The manual: one reStructuredText file for each topic, printed by `quern-builder manual [TOPIC]`.

The first line of a file is its title, and the line of the topic in the list.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from quern.errors import QuernError, hint

FOLDER = Path(__file__).parent

# In the order of the list: the tutorial, how-tos, reference, how it works, for contributors.
TOPICS = (
    "tutorial",
    "gentoo",
    "containers",
    "testing",
    "failures",
    "explain",
    "contents",
    "lock",
    "reproducible",
    "binhost",
    "ci",
    "migrating",
    "tasks",
    "configuration",
    "terms",
    "how-it-works",
    "isolation",
    "contributing",
)
PAGER = "less"  # if $PAGER is unset


def text_of(topic: str) -> str:
    """Read the text of a topic. Raises QuernError, with the nearest topic, if there is no such topic."""
    if topic not in TOPICS:
        raise QuernError(f"no topic {topic!r} in the manual{hint(topic, TOPICS)}")
    return (FOLDER / f"{topic}.rst").read_text(encoding="utf-8")


def contents() -> str:
    """List the topics, one a line, with their titles."""
    width = max(map(len, TOPICS))
    lines = [f"{topic:{width}}  {text_of(topic).partition(chr(10))[0]}" for topic in TOPICS]
    return "\n".join(lines) + "\n"


def show(text: str) -> None:
    """Print `text`: through a pager if stdout is a terminal, else as it is."""
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and _paged(text):
        return
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # the reader, head(1) for example, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _paged(text: str) -> bool:
    """Show `text` in $PAGER; False if there is no such program."""
    try:
        words = shlex.split(os.environ.get("PAGER", PAGER))
    except ValueError:  # an open quotation
        return False
    if not words:
        return False
    environment = {"LESS": "FRX", **os.environ}  # F: no pager for a text that fits on the screen
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the pager
    try:
        subprocess.run(words, input=text, env=environment, encoding="utf-8", check=False)
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, former)
    return True
