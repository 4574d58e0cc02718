"""The database entry of a merged package (portage(5), /var/db/pkg), with the same bytes however often it is merged."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from . import WorkerError
from .links import follow

DATABASE = b"var/db/pkg"
CONSTANT = ("COUNTER", "BUILD_TIME")  # differ between two merges and two builds; Portage must find numbers
# `metadata` is Portage's cache of the other files, valid for one time of the folder only; FEATURES say who has built
VOLATILE = ("BUILD_ID", "BINPKGMD5", "FEATURES", "SIZE", "environment.bz2", "metadata", "CONTENTS")
UNSORTED = ("NEEDED", "NEEDED.ELF.2")  # scanelf finds files in the order of the file system


def write(root: str, cpv: str, metadata: Mapping[str, bytes], contents: bytes) -> None:
    """Write the entry of the package `cpv` into the database of `root`: its `metadata`, and CONTENTS.

    Raises WorkerError where the root has something else than folders in the database's place.
    """
    top = os.fsencode(root)
    found = follow(top, os.path.join(DATABASE, os.fsencode(cpv)))
    if found.mode is not None or found.name != os.path.join(DATABASE, os.fsencode(cpv)):
        raise WorkerError(f"{cpv} cannot be noted in /{DATABASE.decode()}: /{os.fsdecode(found.name)} is in the way")
    folder = os.path.join(top, found.name)
    os.makedirs(folder, 0o755)
    files = {name: content for name, content in metadata.items() if name not in VOLATILE}
    files.update(dict.fromkeys(CONSTANT, b"0\n"))
    files.update({name: _sorted_lines(files[name]) for name in UNSORTED if name in files})
    for name, content in {**files, "CONTENTS": contents}.items():
        path = os.path.join(folder, os.fsencode(name))
        with open(path, "xb") as file:
            file.write(content)
        os.chmod(path, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)


def _sorted_lines(content: bytes) -> bytes:
    return b"".join(sorted(content.splitlines(keepends=True)))
