"""The `/` of a Gentoo builder as Portage's host side: what builds need is merged there, for as long as it lasts.

Portage reads nothing but /etc/portage for a host side that is not its target, so what a run is must be written there.
This happens in containers alone, whose `/` nobody else ever sees.
"""

from __future__ import annotations

import os
from typing import NoReturn

from . import WorkerError

MAKE_CONF = "/etc/portage/make.conf"  # a file, or a folder of files that are read in order (portage(5))
CONTAINER = "/quern/worker"  # where the docker driver has this folder


def adopt(settings: str) -> None:
    """Add `settings`, text of a make.conf, to those of `/`. Raises WorkerError anywhere but in a container of ours."""
    if os.path.dirname(os.path.abspath(__file__)) != CONTAINER:
        raise WorkerError("the settings of / are changed in a container only")
    target = os.path.join(MAKE_CONF, "zz-quern") if os.path.isdir(MAKE_CONF) else MAKE_CONF
    with open(target, "a", encoding="utf-8") as file:
        file.write(f"\n{settings}")


def emerge(file: str, *argv: str) -> NoReturn:
    """Adopt the settings in a file, and become the command `argv`."""
    with open(file, encoding="utf-8") as stream:
        adopt(stream.read())
    os.execv(argv[0], argv)
