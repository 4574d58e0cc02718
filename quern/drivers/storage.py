"""Where containers have room for what a build throws away, if that is not the work folder: [docker] workdir_storage.

A tmpfs goes with its container, and has the name that PORTAGE_TMPDIR has in every build. A named volume may serve other
images and projects as well, so each image has a folder of its own in it, which the worker's `supervise` empties.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from quern.config.settings import Docker, Storage
from quern.drivers.containers import PROJECT, TIMEOUT, address_of
from quern.engine import connect, field

INSIDE = "/quern/scratch"
IN_MEMORY = "/run/quern/tmp"  # as quern.steps.names.TMP


def folder_of(storage: Storage, work: Path, name: str = "") -> str:
    """The folder, in the containers of one work folder, that is emptied before and after every command `name`.

    It does not depend on the key with which that name ends: of a package that fails again and again one is kept.
    """
    if storage.volume is None:
        return IN_MEMORY
    folder = f"{INSIDE}/{work.name}-{hashlib.sha256(os.fsencode(work)).hexdigest()[:12]}"
    return f"{folder}/{name.rpartition('-')[0]}" if name else folder


def mounts(storage: Storage) -> list[Any]:
    """The named volume, if there is one."""
    from docker.types import Mount

    return [Mount(INSIDE, storage.volume, type="volume", no_copy=True)] if storage.volume else []


def options(storage: Storage) -> dict[str, Any]:
    """The tmpfs, if there is one, as an option of the host configuration. Docker's are noexec unless it is said."""
    return {"tmpfs": {IN_MEMORY: f"size={storage.size},mode=0755,exec"}} if storage.size else {}


def text(storage: Storage) -> str:
    """As in the configuration."""
    if storage.volume:
        return f"volume:{storage.volume}"
    size = storage.size or 0
    return f"tmpfs:{size >> 20}m" if size % (1 << 20) == 0 else f"tmpfs:{size}"


def lacking_room(storage: Storage, output: str) -> str:
    """A sentence on the room there was for builds, if that seems to be why a command failed; else empty."""
    if storage == Storage() or "No space left on device" not in output:
        return ""
    return f"If the disk was not full, docker.workdir_storage = {text(storage)} was: name a larger one, or folder"


def make_volume(docker: Docker, work: Path) -> None:
    """Make the named volume, if there is to be one and is none, labelled as the project's."""
    name = docker.workdir_storage.volume
    if name is None:
        return
    from docker.errors import NotFound

    with connect(address_of(docker), TIMEOUT) as client:
        try:
            client.api.inspect_volume(name)
        except NotFound:
            client.api.create_volume(name, labels={PROJECT: str(work.parent)})


def remove_volumes(docker: Docker, work: Path) -> None:
    """Remove the volumes that were made for this project, but for those that a container has."""
    from docker.errors import APIError

    with connect(address_of(docker), TIMEOUT) as client:
        for found in field(client.api.volumes(filters={"label": f"{PROJECT}={work.parent}"}), list, "Volumes"):
            with suppress(APIError):
                client.api.remove_volume(field(found, str, "Name"))
