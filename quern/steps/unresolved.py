"""What files of an image name and is not in it, in words (see worker/closure.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quern.config.settings import Strip
from quern.strip_rules import option_of

Row = Mapping[str, str]

_FILES = 3  # named of those that need the same
_THINGS = 10  # shown; all are in the log
_WORDS = {
    "library": "{needs} is needed by {files}",
    "interpreter": "{needs} is to run {files}",
    "program": "{needs} is to run {files}",
    "target": "{needs} is what {files} leads to",
}


def lines(rows: Iterable[Row], strip: Strip) -> list[str]:
    """A line for each thing that is missing."""
    rows = [{name: _plain(text) for name, text in row.items()} for row in rows]
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["kind"], row["needs"], row["was"], row["rule"]), []).append(row)
    return [_line(group, strip) for group in groups.values()]


def _plain(text: str) -> str:
    """A name of a file, which may hold anything, on one line."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace").replace("\n", "\\n")


def _line(group: list[Row], strip: Strip) -> str:
    row = group[0]
    names = [f"{each['file']} ({each['package']})" if each["package"] else each["file"] for each in group]
    more = f" and {len(names) - _FILES} more" if len(names) > _FILES else ""
    said = _WORDS[row["kind"]].format(needs=row["needs"], files=", ".join(names[:_FILES]) + more)
    return f"{said}, but {_why(row, strip)}"


def _why(row: Row, strip: Strip) -> str:
    if not row["was"]:
        return "no package has installed it"
    of = f" ({row['of']})" if row["of"] else ""
    path = "" if row["was"] == row["needs"] else f"{row['was']} "
    if not row["rule"]:  # a link on the way was taken out
        return f"[strip] took {path}out{of}"
    option = option_of(row["rule"], strip)
    rule = f": {row['rule']}" if option == "strip.paths" else ""
    return f"{option}{rule} took {path}out{of}"


def shown(found: list[str]) -> list[str]:
    """The first of the lines, and how many more there are."""
    more = len(found) - _THINGS
    return [*found[:_THINGS], *([f"and {more} more things"] if more > 0 else [])]
