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

from . import WorkerError, accounts, bytecode, merge, sources
from .settings import adopt

NOT_RUN = "{folder}: programs must be allowed to run there while packages are built; it is mounted noexec"
SOURCES = "sources"  # beside ROOT: DISTDIR


class Request(NamedTuple):
    """One build.

    settings    what Portage's host side is told (settings.py)
    host        a command line that installs packages on the host side, or none
    packages    the folder where it finds them
    host_only   the variables, in place of the build's own, of what happens on the host side alone; None: not there
    root        ROOT
    merging     what is put into it (merge.Request), or none
    sources     the files of DISTDIR that it is built from
    emerge      the command line that builds
    on_host     whether it builds for the host side
    own         a folder in which what packs it is put (package_phase.py)
    """

    settings: str
    host: list[str]
    packages: str
    host_only: dict[str, str | None]
    root: str
    merging: dict[str, Any]
    sources: list[str]
    emerge: list[str]
    on_host: bool
    own: str


def build(path: str) -> int:
    """Do what the request in the file `path` says; returns the exit status. Nothing is cleaned up after a failure."""
    with open(path, encoding="utf-8") as file:
        request = Request(**json.load(file))
    try:
        return _build(request)
    except WorkerError as error:
        print(f"{merge.FAILED}{json.dumps(str(error))}", flush=True)
        return 1


def _build(request: Request) -> int:
    adopt(request.settings)
    changed = {**os.environ, **request.host_only}
    host_only = {name: value for name, value in changed.items() if value is not None}
    if request.host:
        environment = {**host_only, "PKGDIR": request.packages}
        installed = subprocess.run(_run_by(request.own, request.host), env=environment, stdin=subprocess.DEVNULL)
        if installed.returncode:
            return installed.returncode
    if request.merging and (status := merge.run(merge.Request(**request.merging))):
        return status
    if not request.on_host and accounts.show(request.root):
        accounts.complete(request.root)
    own = os.path.join(os.path.dirname(request.root), SOURCES)
    sources.copy(request.sources, os.environ["DISTDIR"], own)
    argv = _run_by(request.own, request.emerge)
    return os.execve(argv[0], argv, {**(host_only if request.on_host else os.environ), "DISTDIR": own})


def _run_by(folder: str, argv: list[str]) -> list[str]:
    """A command line of Portage's, such that its helpers are run by a script in `folder`, which packs as we do."""
    changed = bytecode.without(folder, argv)
    if changed == argv:
        raise WorkerError(NOT_RUN.format(folder=folder))
    return changed
