"""diff:NAME: how the image is not as it was, or not as a lock or an archive. It is built first if it is not up to date.

Of the last build that was another, the image step has kept what was in it (see inventory.py), not the image.
"""

from __future__ import annotations

from pathlib import Path

from quern.archive_reading import read_archive
from quern.errors import BuildError, ConfigError
from quern.project import Image
from quern.questions import compared, diff_text
from quern.questions.base import tell_machines
from quern.steps.base import Run
from quern.steps.lock import locked

NONE_BEFORE = """\
{}: there is no other build before this one; --lock PATH and --archive PATH compare with something else"""


def answer(image: Image, run: Run, *, lock: str, archive: str, json: bool) -> None:
    """Say it; with `json` as one line of JSON (see diff_text.py). Raises QuernError."""
    if lock and archive:
        raise ConfigError("diff: expected one of --lock and --archive, got both")
    with locked(image.work / "lock", run.say):
        last, former = compared.kept(image, run)
        moves = compared.moves(image, Path(lock)) if lock else []
    other = read_archive(Path(archive), (last.settings or {}).get("architecture")) if archive else former
    if lock:
        lines, record = moves or [diff_text.IDENTICAL], {"identical": not moves, "packages": moves}
    elif other is None:
        raise BuildError(NONE_BEFORE.format(image.name))
    else:
        found = compared.difference(other, last)
        lines, record = list(diff_text.lines(other, last, found)), diff_text.record(other, last, found)
    if json:
        tell_machines(record)
        return
    for line in lines:
        run.say(line)
