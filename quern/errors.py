"""What may go wrong because of something outside quern, said in one message each.

Policy:

- Raised where the cause is known, by any module. ``str(error)`` is the whole message to the user: it names the thing
  (file and line, option, package), what was found, what was expected and, where there is one, the nearest valid
  choice or the next thing to do. It may span lines; the first line stands alone.
- Caught in two places only. ``cli`` prints ``quern-builder: error: MESSAGE`` and exits 1. ``tasks`` turns it into what
  doit reports without a traceback: ``InvalidDodoFile`` when tasks are created, ``TaskFailed`` when one runs.
- Anything else that is raised is a defect of quern, and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quern.terminal import harmless

__all__ = [
    "BuildError",
    "ConfigError",
    "DriverError",
    "EngineError",
    "EngineSilent",
    "EngineUnavailable",
    "PackageError",
    "ProfileError",
    "QuernError",
    "RepositoryError",
    "display",
    "hint",
    "naming",
    "nearest",
    "of_the_machine",
    "one_line",
    "removed_meanwhile",
    "spelled",
]

_SHOWN = 30  # choices in a message
LONGEST = 500  # characters of another's message in ours


class QuernError(Exception):
    """Base of every error whose text is meant for the user, whatever names and output of others are in it."""

    def __str__(self) -> str:
        return harmless(super().__str__())


class ConfigError(QuernError):
    """A configuration file or a QUERN_ variable is not as it must be."""


class RepositoryError(QuernError):
    """A Portage repository is missing, or is not what the configuration says it is."""


class ProfileError(QuernError):
    """A Portage profile is missing, incomplete, or would give an empty image."""


class DriverError(QuernError):
    """The place where commands run lacks something: a host tool, a daemon, a permission."""


class EngineError(QuernError):
    """The daemon refused, or did something else than asked."""


class EngineUnavailable(EngineError):
    """No daemon can be reached: none there, no permission, or none that answers."""


class EngineSilent(EngineUnavailable):
    """Something listens and does not answer in time."""


class BuildError(QuernError):
    """A step ran and did not give its output."""


class PackageError(BuildError):
    """A package failed while it was built, and its build folder is kept: a shell can be opened there."""


def one_line(error: object) -> str:
    """A message of others, in one line that is not too long."""
    text = " ".join(str(error).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def of_the_machine(error: OSError) -> QuernError | None:
    """The message for what the machine refuses: permission, room, a failing disk, a name, something in our place.

    None for the rest: another OSError is a defect of ours and keeps its traceback.
    """
    error = _first_of(error)
    in_our_place = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENOTEMPTY, errno.ELOOP)
    full = (errno.ENOSPC, errno.EDQUOT)
    if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EFBIG, *full, *in_our_place):
        return None
    hints = {errno.EACCES: " (made by another user? then as that user)", errno.EPERM: " (made by another user?)"}
    # of two files, copying names the source first; it is the target that finds no room
    where = (error.errno in full and error.filename2) or error.filename or "the disk"
    return QuernError(f"{where}: {error.strerror}{hints.get(error.errno, '')}")


def _first_of(error: OSError) -> OSError:
    """The first of the errors that shutil.copytree has collected, of which it keeps the text; any other as it is."""
    if not isinstance(error, shutil.Error) or not isinstance(error.args[0], list):
        return error
    _, target, text = error.args[0][0]
    match = re.match(r"\[Errno (\d+)\] ([^:]+)", text)
    return OSError(int(match[1]), match[2], str(target)) if match else error


def removed_meanwhile(error: OSError, work: Path) -> QuernError | None:
    """The message where something in the work folder went away while it was used; None where it is something else.

    Steps hold the folder's lock, but what is asked about an image, and the time between two steps, do not.
    """
    if error.errno != errno.ENOENT or not str(error.filename).startswith(f"{work}/"):
        return None
    return QuernError(f"{error.filename} was removed meanwhile, as `doit clean` does; run it again")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """While inside, an OSError that names no file names `path`: what write(2) refuses, Python gives no name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def display(path: Path) -> str:
    """Spell a path for a message: relative when it is below the current folder; bytes that are no UTF-8 as \\xNN."""
    text = str(path)
    with suppress(OSError):  # there is no current folder any more
        text = text.removeprefix(f"{os.getcwd()}/")
    return spelled(text)


def spelled(text: str) -> str:
    """Spell a text for a message, with bytes that are no UTF-8 (surrogates of PEP 383) as \\xNN."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def nearest(word: str, choices: Iterable[str], likeness: float = 0.6) -> str | None:
    """Find the choice a mistyped word most likely stands for; `likeness` 0 to 1 is how alike it must be at least."""
    import difflib

    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=likeness)
    return near[0] if near else None


def hint(word: str, choices: Iterable[str], form: str = "{}") -> str:
    """End a message about an unknown word: with the nearest choice (formatted by `form`), else with all of them."""
    choices = list(choices)
    near = nearest(word, choices)
    if near:
        return f"; did you mean {form.format(near)}?"
    more = f" and {len(choices) - _SHOWN} more" if len(choices) > _SHOWN else ""
    return f"; there are: {', '.join(choices[:_SHOWN])}{more}" if choices else ""
