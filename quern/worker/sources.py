"""The sources of one package, copied for its build: with one mode and owner, whatever those in the folder have.

An ebuild that copies a source with `cp` would install that file's mode, which a user's umask has decided.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress

from . import regular

PIECE = 1 << 20  # bytes


def copy(names: Iterable[str], folder: str, target: str) -> None:
    """Copy the files `names` of `folder` to the new folder `target`; one that is not there Portage will ask for."""
    os.mkdir(target, 0o755)
    for name in names:
        path = os.path.realpath(os.path.join(folder, name))
        with (
            suppress(FileNotFoundError),
            regular.opened(path) as source,
            open(os.path.join(target, name), "xb") as file,
        ):
            os.fchmod(file.fileno(), 0o644)
            shutil.copyfileobj(source, file, PIECE)
