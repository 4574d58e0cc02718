"""What an ordinary user's build could not give packages, as the worker's guards have noted it."""

from __future__ import annotations

from pathlib import Path

from quern.worker import regular
from quern.worker.guards import NOTES

LIMIT = 16 << 20  # bytes
MESSAGE = """\
what is built here takes root, or build.driver = docker; files of an ordinary user stand for root's, and no more:
  {cases}
log: {log}"""


def read(host: Path) -> dict[str, str]:
    """By package (cpv) a case of what it wanted, from the host side at `host`; where root builds there are none."""
    try:
        text = regular.text(host / NOTES, LIMIT)
    except FileNotFoundError:
        return {}
    notes = [[_printable(word) for word in line.split("\t")] for line in text.splitlines()]
    return {note[0]: f"{note[0]}: {note[2]} ({note[1]})" for note in notes if len(note) == 3}


def _printable(text: str) -> str:
    """The text for a terminal: a build may have written anything."""
    return text if text.isprintable() else ascii(text)
