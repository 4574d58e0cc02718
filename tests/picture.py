"""The terminal picture of README.rst, made by a real build: the fullest screen on which packages are at work is drawn.

python -m tests.picture PROJECT TASK    TASK has something left to build; writes tests/data/terminal.svg
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.projects import DATA
from tests.screen import Terminal

PICTURE = DATA / "terminal.svg"
COLUMNS, LINES = 92, 14
AT_WORK = re.compile(r"^ +\(\d+ of \d+\) ", re.MULTILINE)
FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)  # from the network; the reader's own will do
STYLES = {"bold": "bold", "italics": "italic", "reverse": "reverse"}


def screen(terminal: Terminal) -> list[Text]:
    """The rows that are to be seen, with their colours."""
    rows = []
    for number in range(len(terminal.rows)):
        row, cells = Text(), terminal.screen.buffer[number]
        for column in range(terminal.columns):
            cell = cells[column]
            style = [name for attribute, name in STYLES.items() if getattr(cell, attribute)]
            colour = [] if cell.fg == "default" else [cell.fg.replace("brown", "yellow")]  # what pyte calls it
            row.append(cell.data, " ".join([*style, *colour]))
        row.rstrip()
        rows.append(row)
    return rows


def fullest(project: Path, task: str) -> list[Text]:
    """The last of the screens with the most rows on which a package is at work, while the task runs."""
    terminal, best = Terminal(COLUMNS, LINES), list[Text]()

    def look(terminal: Terminal) -> None:
        nonlocal best
        if AT_WORK.search(terminal.text) and len(terminal.rows) >= len(best):
            best = screen(terminal)

    environment = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    if terminal.run([sys.executable, "-m", "doit", task], project, environment, look):
        sys.exit(terminal.text)
    return best


def main() -> None:
    """Draw what the command line names."""
    project, task = sys.argv[1:]
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115
    console.print(Text(f"$ doit {task}", "bold"))
    for row in fullest(Path(project), task):
        console.print(row, overflow="crop", no_wrap=True)
    PICTURE.write_text(FONTS.sub("", console.export_svg(title="quern", unique_id="quern")), encoding="utf-8")


if __name__ == "__main__":
    main()
