"""binhost:NAME: the packages of an image as a binary package host, for a web server. They are built first.

OUTDIR/NAME.binhost/
  Packages                             the index; its TIMESTAMP is later whenever the packages are others
  sys-libs/zlib/zlib-1.3.1-1.gpkg.tar  signed with [portage] signing_key, if there is one
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from quern.drivers.raw import RawDriver
from quern.errors import BuildError, display
from quern.portage import package_index, store
from quern.portage.signing import Key, sign
from quern.project import Image
from quern.questions import written
from quern.questions.base import check_outdir
from quern.steps.base import Run, counted
from quern.steps.lock import locked
from quern.steps.packages import PackagesStep
from quern.steps.receipt import Place

OF = "QUERN"  # in the head of the index, ours: what the folder was made of


def answer(image: Image, run: Run) -> None:
    """Write the folder anew, unless it is what it would be. Raises BuildError, and DriverError without gpg."""
    view = Place(image.work, PackagesStep.name).output / "view"
    signer = image.settings.portage.signing_key
    (folder,) = written.binhost(image)
    check_outdir(image)
    with locked(image.work / "lock", run.say):
        stanzas = package_index.read_index(view)
        if not stanzas:
            raise BuildError(f"{image.name} has no packages yet; `doit packages:{image.name}` builds them")
        store.check_view(view, [stanza["CPV"] for stanza in stanzas])
        made_of = hashlib.sha256((view / package_index.INDEX).read_bytes() + f"\n{signer}".encode()).hexdigest()
        head = _head(folder)
        if head.get(OF) == made_of and _is_whole(folder):
            run.say(f"{display(folder)} is up to date")
            return
        later = max(int(time.time()), int(head.get("TIMESTAMP", 0)) + 1)
        _replace(folder, view, signer, {OF: made_of, "TIMESTAMP": str(later)})
    signed = f", signed with {signer}" if signer else ""
    run.say(f"{display(folder)} is written: {counted(len(stanzas), 'package')}{signed}")


def _head(folder: Path) -> dict[str, str]:
    """The head of the index that is there. Raises BuildError if what is there is not ours to replace."""
    head = package_index.read_head(folder)
    if not is_own(folder) and (folder.is_symlink() or folder.exists()):
        raise BuildError(f"{display(folder)} was not made by quern; move it away")
    return head


def is_own(folder: Path) -> bool:
    """Whether quern has made the folder."""
    return not folder.is_symlink() and OF in package_index.read_head(folder)


def _is_whole(folder: Path) -> bool:
    """Whether every package is there, as far as that can be told at a glance."""
    try:
        return all(
            (folder / stanza["PATH"]).stat().st_size == int(stanza["SIZE"])
            for stanza in package_index.read_index(folder)
        )
    except OSError:
        return False


def _replace(folder: Path, view: Path, signer: str | None, head: dict[str, str]) -> None:
    """Make the folder anew beside itself, and put it in its place."""

    def discard(path: Path) -> None:
        RawDriver().call("remove", path=str(path), within=str(path.parent))

    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    discard(new)
    discard(old)
    try:
        new.mkdir(parents=True)
        _fill(new, view, signer, head)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        discard(new)
    discard(old)


def _fill(folder: Path, view: Path, signer: str | None, head: dict[str, str]) -> None:
    if signer is None:
        store.link_view(view, folder, head)
        return

    stanzas = []
    for stanza in package_index.read_index(view):
        package = folder / stanza["PATH"]
        package.parent.mkdir(parents=True, exist_ok=True)
        sign(view / stanza["PATH"], package, Key(signer))
        stanzas.append({**stanza, **store.digests(package)})
    package_index.write_index(folder, stanzas, head)
