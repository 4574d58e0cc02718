"""Files with CR LF at the ends of lines: bash takes the CR for a part of the last word, or of a name."""

from __future__ import annotations

import os
import re
from typing import Any

from . import WorkerError

MESSAGE = "{path}: its lines end with CR LF, which bash cannot read: save it with LF (sed -i 's/\\r$//' FILE)"

_NAMED = re.compile(r"(?:^|')(/[^'\n]+?\.(?:ebuild|eclass))(?=[':])", re.MULTILINE)


def check_named(output: str) -> None:
    """Raise WorkerError if an ebuild or eclass that bash complained of, in Portage's `output`, has CR LF."""
    for path in dict.fromkeys(_NAMED.findall(output)):
        _check(path)


def check_sourced(settings: Any) -> None:  # noqa: ANN401 (Portage's)
    """Raise WorkerError if a bashrc of the profile has CR LF: Portage goes on when bash could not read it."""
    for folder in settings.profiles:
        _check(os.path.join(folder, "profile.bashrc"))
        for above, _, names in os.walk(os.path.join(folder, "bashrc")):
            for name in names:
                _check(os.path.join(above, name))


def _check(path: str) -> None:
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        if b"\r\n" in file.read():
            raise WorkerError(MESSAGE.format(path=path))
