"""Tracebacks of Python programs in the output of others: Portage's own, those of a package's build.

A message to the user names what failed; where in Portage that was is in the log.
"""

from __future__ import annotations

import re

_BETWEEN = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_HEAD = re.compile(rf"(?:Traceback \(most recent call last\):|{'|'.join(_BETWEEN)})\s*$")
# a syntax error is told with its file and line, but in no function: that is kept
_FRAME = re.compile(r'(.*?)(?:File "[^"]*", line \d+, in .*|\[Previous line repeated \d+ more times?\])\s*$')
_REFUSAL = re.compile(r"(?:.* )?[\w.]+: \[Errno \d+\] ([^:]+)(?:: b?'([^']*)')?(?: -> b?'([^']*)')?")


def condensed(text: str) -> str:
    """`text` with the last line of each traceback alone: the exception."""
    kept, frame = [], None
    for line in text.split("\n"):
        if match := _FRAME.match(line):
            frame = match[1]
        elif not _HEAD.search(line) and (
            frame is None or not line.startswith(f"{frame} ")
        ):  # source, and ^^^^ below it
            frame = None
            kept.append(line)
    return "\n".join(kept)


def plain(line: str) -> str:
    """The exception OSError as `PATH: REASON`; of two paths the second, which is written to. Other lines stay."""
    match = _REFUSAL.fullmatch(line)
    if match is None:
        return line
    path = match[3] or match[2]
    return f"{path}: {match[1]}" if path else match[1]
