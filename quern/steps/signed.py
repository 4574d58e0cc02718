"""Packages of a binhost that must be signed: checked after they were fetched, before anything in them is used."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from quern.errors import BuildError, display
from quern.portage.package_index import read_index
from quern.worker.walk import walk

if TYPE_CHECKING:
    from quern.steps.emerging import Build

REFUSED = """\
portage.binhost_keys: a binhost gave packages that no key in {keys} has signed, or others than it said:
{rows}"""


def prepare(build: Build) -> None:
    """Make the keyring. Portage too wants it wherever it installs a package that is signed. Raises DriverError."""
    if build.keys:
        copy = build.scratch / "keys"  # a container does not see the user's
        copy.write_bytes(build.keys.read_bytes())
        build.run.driver.call("keyring", home=str(build.keyring), keys=str(copy), name=display(build.keys))


def packages(build: Build) -> set[Path]:
    """The binary packages that emerge may install, in the root and, where `/` is a Gentoo system's, there."""
    folders = (build.view, build.surroundings.host_packages) if build.keys else ()
    return {path for folder in folders if folder.is_dir() for path in _below(folder)}


def _below(folder: Path) -> Iterator[Path]:
    """Everything in the folders of `folder` that is none; not the index beside them."""
    for entry in walk(os.fsencode(folder)):
        if b"/" in entry.name and not stat.S_ISDIR(entry.status.st_mode):
            yield folder / os.fsdecode(entry.name)


def check(build: Build, fetched: set[Path]) -> None:
    """Raise BuildError unless all packages in `fetched` are what the index calls them, and signed."""
    if not fetched or build.keys is None:
        return
    folders = (build.view, build.surroundings.host_packages)
    names = {folder / stanza.get("PATH", ""): stanza["CPV"] for folder in folders for stanza in read_index(folder)}
    answer = build.run.driver.call(
        "verify",
        environment=build.surroundings.environment(),
        reach=build.reach(build.host, build.root, build.scratch / "tmp"),
        packages={str(path): names.get(path, path.name) for path in sorted(fetched)},
    )
    if answer["refused"]:
        rows = "\n".join(f"  {cpv}: {why}" for cpv, why in answer["refused"].items())
        raise BuildError(REFUSED.format(keys=display(build.keys), rows=rows))
