"""What Portage's host side is told of a run: of a host side that is not its target it reads etc/portage alone.

Its environment says nothing there (create_trees of Portage): without this the packages that builds run would be built
below /var/tmp, kept in /var/cache/binpkgs, and taken from there, whatever they are.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NoReturn

from . import WorkerError, bytecode

MAKE_CONF = "etc/portage/make.conf"  # may be a folder (portage(5))
CONTAINER = "/quern/worker"  # where the docker driver has this folder


def adopt(settings: str) -> None:
    """Give the host side `settings`, text of a make.conf.

    The host side is the folder PORTAGE_OVERRIDE_EPREFIX, or else `/`, whose own settings stay. Raises WorkerError for
    a `/` that is not that of a container of ours, which nobody else ever sees.
    """
    host = os.environ.get("PORTAGE_OVERRIDE_EPREFIX")
    if host:
        _replace(os.path.join(host, MAKE_CONF), settings)
    elif os.path.dirname(os.path.abspath(__file__)) != CONTAINER:
        raise WorkerError("the settings of / are changed in a container only")
    else:
        target = f"/{MAKE_CONF}"
        with open(os.path.join(target, "zz-quern") if os.path.isdir(target) else target, "a", encoding="utf-8") as file:
            file.write(f"\n{settings}")


def _replace(path: str, text: str) -> None:
    """Write a file anew. What a build has put in its place goes."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
        file.write(text)


def emerge(file: str, *argv: str) -> NoReturn:
    """Give the host side the settings in a file, and become the command `argv`."""
    with open(file, encoding="utf-8") as stream:
        adopt(stream.read())
    host = os.environ.get("PORTAGE_OVERRIDE_EPREFIX")  # none in a container, whose `/` nobody else ever sees
    os.execv(argv[0], bytecode.without(host, argv) if host else argv)
