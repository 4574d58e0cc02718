"""Text and names of files are UTF-8 here, whatever the locale.

Python reads names of files in the locale's encoding, while all that quern writes, hands to Portage and compares is
UTF-8: in a locale with another encoding a path would be other bytes there. Python's UTF-8 mode (PEP 540) has one
encoding for both, but is chosen when a program starts. So the program is started once more.
"""

from __future__ import annotations

import io
import os
import sys

from quern.errors import ConfigError

PROGRAMS = ("doit", "quern-builder")  # what a user starts, and what can be started again
MODE = ("-X", "utf8")
REFUSAL = (
    "the encoding of this locale is {encoding}, in which names of files may be other bytes than in UTF-8; "
    "set PYTHONUTF8=1"
)


def use_utf8(folder: str | None = None) -> None:
    """Start the program once more, in UTF-8 mode and from `folder`, if names of files have another encoding here.

    Raises ConfigError in a program that is not ours to start.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    if _program() not in PROGRAMS or tuple(sys.orig_argv[1:3]) == MODE:
        raise ConfigError(REFUSAL.format(encoding=sys.getfilesystemencoding()))
    if folder:
        os.chdir(folder)
    sys.stdout.flush()
    shown = os.fsencode(f"{sys.stdout.encoding}:backslashreplace")  # the terminal keeps its encoding
    environment = {**os.environb, b"PYTHONIOENCODING": shown}
    os.execve(sys.executable, [sys.executable, *MODE, *sys.orig_argv[1:]], environment)


def take_all(stream: object) -> None:
    """Have a text stream take everything: bytes of names as they are, and what its encoding lacks as an escape."""
    if isinstance(stream, io.TextIOWrapper):
        is_utf8 = stream.encoding.lower().replace("-", "") == "utf8"
        stream.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")


def _program() -> str:
    """What this process runs: the module's package after `python -m`, else the script's name."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.partition(".")[0] if spec else os.path.basename(sys.argv[0])
