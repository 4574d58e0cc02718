"""A shell where the build of a package failed: in its folder, with the environment that Portage gives the phase.

Runs in Portage's Python, confined like the build. What `settings.environ()` gives is the environment of ebuild.sh,
and ebuild.sh itself then loads what the phases before have saved; nothing is imitated.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

from . import WorkerError, accounts, bytecode
from .settings import adopt

START = "shell.bash"


def shell(file: str, *command: str) -> NoReturn:
    """Become bash, interactive or for one `command`; of this process's own environment only TERM is kept.

    `file` is JSON: {"package": category/package-version, "repository", "phase", "host": whether it was built for the
    host side, "merge": source or binary, "environment": that of emerge, "settings": for a `/` that is the host side}.
    """
    with open(file, encoding="utf-8") as stream:
        asked = json.load(stream)
    terminal = os.environ.get("TERM", "dumb")
    os.environ.clear()
    os.environ.update(asked["environment"])
    folder = os.path.join(os.environ["PORTAGE_TMPDIR"], "portage", asked["package"])
    try:
        if not os.path.isdir(os.path.join(folder, "temp")):
            raise WorkerError(f"{folder} is not there any more: build again")
        if asked["settings"]:
            adopt(asked["settings"])
        environment = {**_environment(asked), "TERM": terminal}
        if not asked["host"]:
            accounts.show(environment["ROOT"])
    except WorkerError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    _become(environment, command)


def _become(environment: dict[str, str], command: tuple[str, ...]) -> NoReturn:
    from portage.const import BASH_BINARY

    start = os.path.join(os.path.dirname(os.path.abspath(__file__)), START)
    argv = [start, *command] if command else ["--noprofile", "--rcfile", start, "-i"]
    os.execve(BASH_BINARY, [BASH_BINARY, *argv], environment)


def _environment(asked: dict[str, Any]) -> dict[str, str]:
    """What Portage gives the phase (`doebuild_environment`, as the command `ebuild` calls it)."""
    bytecode.use_script(os.environ.get("PORTAGE_OVERRIDE_EPREFIX", ""))
    import portage
    from _emerge.Package import Package
    from _emerge.RootConfig import RootConfig
    from portage.package.ebuild.doebuild import doebuild_environment

    trees = portage.db[portage.db._running_eroot if asked["host"] else portage.db._target_eroot]
    database, settings = trees["porttree"].dbapi, portage.config(clone=trees["vartree"].settings)
    name, repository = asked["package"], asked["repository"]
    ebuild = database.findname(name, myrepo=repository)
    if not ebuild:
        raise WorkerError(f"the ebuild of {name} is gone: build again")
    try:
        values = database.aux_get(name, Package.metadata_keys, myrepo=repository)
    except KeyError:
        raise WorkerError(f"the ebuild of {name} cannot be read any more: build again") from None
    metadata = dict(zip(Package.metadata_keys, values))
    cpv = portage.versions._pkg_str(name, metadata=metadata, settings=settings, db=database)
    settings.setcpv(
        Package(
            built=False,
            cpv=cpv,
            installed=False,
            metadata=metadata,
            root_config=RootConfig(settings, trees, None),
            type_name="ebuild",
        )
    )
    if asked["host"]:  # the host side may have been told of another run since
        settings["PORTAGE_TMPDIR"] = os.environ["PORTAGE_TMPDIR"]
    doebuild_environment(ebuild, asked["phase"], settings=settings, db=database)
    binary = asked["merge"] == "binary"
    settings.configdict["pkg"].update(MERGE_TYPE=asked["merge"], EMERGE_FROM="binary" if binary else "ebuild")
    settings.features.update(() if binary else ("buildpkg",))  # which is an option of emerge
    settings["PKG_LOGDIR"] = os.path.join(settings["T"], "logging")
    settings["PORTAGE_DEBUG"] = "0"
    with suppress(ImportError):  # a Portage of before 2024, which hands LC_ALL on as it is
        from portage.util.locale import split_LC_ALL

        split_LC_ALL(settings)
    environment: dict[str, str] = settings.environ()
    return environment
