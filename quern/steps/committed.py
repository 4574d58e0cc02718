"""The lock in the project, `[build] lock`: builds keep it up to date, or with `[build] locked` are held to it.

A run with nothing to do compares two files, the lock and `packages.lock` of the packages step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from quern.errors import BuildError, display
from quern.project import Image
from quern.steps import receipt as receipts

if TYPE_CHECKING:
    from quern.portage.lockfile import Locked

DIFFERS = """\
{lock}: build.locked is on, and what resolves now is something else:
  {moves}
`doit lock:{image}` accepts it, or a build with QUERN_BUILD_LOCKED=off"""

ABSENT = """\
{lock}: build.locked is on, and there is no such file
`doit lock:{image}` writes it, or a build with QUERN_BUILD_LOCKED=off"""


def lacking(image: Image, made: Path) -> str | None:
    """What is wrong with the image's lock after a build that left the lock `made`, if anything."""
    lock = image.settings.build.lock
    if lock is None or _content(lock) == made.read_bytes():
        return None
    if not image.settings.build.locked:
        return f"{display(lock)} does not say what was resolved"
    try:
        check(image, _parsed(made))
    except BuildError as error:
        return str(error)
    return None  # it says the same in other words


def settle(image: Image, made: Path, say: Callable[[str], None]) -> None:
    """Make the image's lock say what the lock `made` says. Raises BuildError if the image is locked to something else.

    `say` takes a line for the user.
    """
    lock = image.settings.build.lock
    if lock is None or lacking(image, made) is None:
        return
    check(image, _parsed(made))
    write(lock, made.read_text(encoding="utf-8"))
    say(f"{display(lock)} says now what was resolved")


def check(image: Image, packages: Iterable[Locked]) -> None:
    """Raise BuildError if the image is locked to something else than `packages`, or its lock is no file of ours."""
    from quern.portage import changes, lockfile

    lock = image.settings.build.lock
    if lock is None:
        return
    text = read(lock)
    if not image.settings.build.locked:
        return
    if text is None:
        raise BuildError(ABSENT.format(lock=display(lock), image=image.name))
    try:
        committed = lockfile.parse(text, display(lock))
    except BuildError as error:
        raise BuildError(f"{error}; `doit lock:{image.name}` writes it anew") from None
    if moves := changes.moves(committed, packages):
        raise BuildError(DIFFERS.format(lock=display(lock), moves="\n  ".join(moves), image=image.name))


def read(lock: Path) -> str | None:
    """The text of the lock at `lock`, None if there is none. Raises BuildError for a file that quern did not write."""
    from quern.portage.lockfile import OURS

    content = _content(lock)
    if content is None:
        return None
    text = content.decode(errors="replace")
    if text.strip() and not text.startswith(OURS):
        raise BuildError(f"{display(lock)}: build.lock: this is not a lock that quern wrote; name another file")
    return text


def write(lock: Path, text: str) -> None:
    """Put the text of a lock at `lock`, whole or not at all."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    receipts.write_atomically(lock, text)


def _content(lock: Path) -> bytes | None:
    try:
        return lock.read_bytes()
    except FileNotFoundError:
        return None


def _parsed(made: Path) -> list[Locked]:
    from quern.portage import lockfile

    return lockfile.parse(made.read_text(encoding="utf-8", errors="replace"), str(made))
