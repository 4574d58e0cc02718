"""What is wrong with the files of an image, in words (see worker/closure.py and worker/finished.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from quern.config.settings import Strip
from quern.strip_rules import option_of
from quern.worker.finished import MOST_ID

Row = Mapping[str, str]

_FILES = 3  # named of those that need the same
_THINGS = 10  # shown; all are in the log
_EMPTY = dict.fromkeys(("at", "program", "folders", "why"), "")
_WORDS = {
    "library": "{needs} is needed by {files}",
    "interpreter": "{needs} is to run {files}",
    "program": "{needs} is to run {files}",
    "target": "{needs} is what {files} leads to",
    "option": "{needs} is {files}",
}


def unfit(rows: Iterable[Row]) -> list[str]:
    """A line for each file that no layer can hold, with the reason."""
    return [f"{_named(row)}: {row['why']}" for row in rows]


def high_ids(rows: Iterable[Row]) -> list[str]:
    """A line for each owner whose ids not every engine has."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(row["owner"], []).append(_named(row))
    return [
        f"{_some(names)} belong{'s' if len(names) == 1 else ''} to {owner}: engines of ordinary users (rootless) have"
        f" ids up to {MOST_ID} only"
        for owner, names in groups.items()
    ]


def lines(rows: Iterable[Row], strip: Strip) -> list[str]:
    """A line for each thing that is missing."""
    rows = [{**_EMPTY, **{name: _plain(text) for name, text in row.items()}} for row in rows]
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        same = tuple(row[name] for name in ("kind", "needs", "was", "rule", "at", "folders", "why"))
        groups.setdefault(same, []).append(row)
    return [_line(group, strip) for group in groups.values()]


def _plain(text: str) -> str:
    """A name of a file, which may hold anything, on one line."""
    return (
        text.encode(errors="surrogateescape")
        .decode(errors="backslashreplace")
        .replace("\n", "\\n")
        .replace("\r", "\\r")
    )


def _line(group: list[Row], strip: Strip) -> str:
    row = group[0]
    said = _WORDS[row["kind"]].format(needs=row["needs"], files=_some([_named(each) for each in group]))
    if row["at"] and len(group) == 1 and row["file"] != row["program"]:
        said += f" for {row['program']}"
    return f"{said}, but {_why(row, strip)}"


def _named(row: Row) -> str:
    """A file, and its package."""
    return _plain(f"{row['file']} ({row['package']})" if row["package"] else row["file"])


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _FILES} more" if len(names) > _FILES else ""
    return ", ".join(names[:_FILES]) + more


def _why(row: Row, strip: Strip) -> str:
    of = f" ({row['of']})" if row["of"] else ""
    if row["at"]:
        folders = row["folders"].replace(" ", ", ") or "no folder"
        return f"it is {row['at']}{of}, and the loader looks in {folders}{row['why']}"
    if not row["was"]:
        return row["why"] or "no package has installed it"
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
