"""Packs what a build has installed, D, in place of Portage's own program, which leaves out extended attributes.

Portage's phase `package` runs `PORTAGE_PYTHON .../gpkg-helper.py compress NAME FILE INFO D` when it is done with D, and
has left out what PKG_INSTALL_MASK names. PORTAGE_PYTHON is a script of ours (bytecode.py), which runs the verb
`package` instead, with the rights of the build. Neither is the file compressed, nor in the order that it has in the
store: it is read once, and written anew there (gpkg_write.py).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator

from . import WorkerError, regular
from .gpkg import METADATA, TOO_LONG
from .gpkg_container import Container, compressed, metadata_tar
from .pack import entries

PROGRAM = "gpkg-helper.py"
TIME = 0  # seconds; the store has its own


def package(command: str, name: str, file: str, info: str, image: str) -> int:
    """Write the folder `image` and the metadata, which are the files in the folder `info`, to `file`: a gpkg.

    `command` is "compress", `name` that of the folder in the gpkg; returns the exit status. Raises WorkerError.
    """
    if command != "compress":
        raise WorkerError(f"{PROGRAM} {command}: expected compress")
    if os.path.islink(image) or not os.path.isdir(image):
        raise WorkerError(f"{image}: expected a folder, which is what the package installs")
    with open(file, "wb") as target:
        container = Container(target, name, TIME)
        container.add("gpkg-1", ())
        container.add("metadata.tar.gz", compressed(metadata_tar(_metadata(info), TIME)))
        container.add("image.tar", _tar(image))
        container.close()
    return 0


def _metadata(folder: str) -> dict[str, bytes]:
    """The files of the metadata, by name."""
    found: dict[str, bytes] = {}
    size = 0
    with os.scandir(folder) as files:
        for each in files:
            if each.is_file(follow_symlinks=False):
                found[each.name] = regular.content(each.path)
                size += len(found[each.name])
            if size > METADATA:
                raise WorkerError(f"{folder}: {TOO_LONG}")
    return found


def _tar(folder: str) -> Iterator[bytes]:
    """The tar of D, in pieces."""
    for entry in entries(folder, TIME, "image/"):
        yield from entry
    yield bytes(2 * tarfile.BLOCKSIZE)
