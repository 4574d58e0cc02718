"""Builds one package: what it is built with is put into its place, and then the phases of this one ebuild run.

host side    what it runs (BDEPEND), and what phases run there (IDEPEND), installed by emerge
ROOT         what it is built with, merged by `merge`
PKGDIR       its binary package
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any, NamedTuple

from . import merge
from .settings import adopt


class Request(NamedTuple):
    """One build.

    settings    what Portage's host side is told (settings.py)
    host        a command line that installs packages on the host side, or none
    host_only   the variables, in place of the build's own, of what happens on the host side alone; None: not there
    merging     what is put into ROOT (merge.Request), or none
    emerge      the command line that builds
    on_host     whether it builds for the host side
    """

    settings: str
    host: list[str]
    host_only: dict[str, str | None]
    merging: dict[str, Any]
    emerge: list[str]
    on_host: bool


def build(path: str) -> int:
    """Do what the request in the file `path` says; returns the exit status. Nothing is cleaned up after a failure."""
    with open(path, encoding="utf-8") as file:
        request = Request(**json.load(file))
    adopt(request.settings)
    changed = {**os.environ, **request.host_only}
    host_only = {name: value for name, value in changed.items() if value is not None}
    if request.host:
        installed = subprocess.run(request.host, env=host_only, stdin=subprocess.DEVNULL)
        if installed.returncode:
            return installed.returncode
    if request.merging and (status := merge.run(merge.Request(**request.merging))):
        return status
    return os.execve(request.emerge[0], request.emerge, host_only if request.on_host else dict(os.environ))
