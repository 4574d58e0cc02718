"""What `doit prune` does: show what a project's folders hold, and what of it no image needs, and remove that.

Nothing is removed that was not shown, nor what quern has not made, nor in a folder that may serve other projects.
Removing takes the locks of all the project's work folders, and then those of its stores: builds take them in the same
order.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from quern.drivers.base import Driver
from quern.drivers.raw import RawDriver
from quern.errors import QuernError
from quern.project import Image
from quern.questions.measured import spelt
from quern.questions.needs import Needs, needs
from quern.questions.size_text import amount
from quern.questions.unneeded import LOCK, Unneeded, gone, is_own, left_over, packages, sources
from quern.steps.base import Run, counted, discard
from quern.steps.chain import driver_of
from quern.steps.lock import is_held, locked

Say = Callable[[str], None]
LEAST = 1_000_000  # bytes of a part of a work folder that is named


def prune(images: Sequence[Image], say: Say, yes: bool) -> None:
    """Show what the project's folders hold and what no image needs; with `yes` remove that. Raises QuernError."""
    with ExitStack() as locks:
        if yes:
            for lock in _locks(images):
                locks.enter_context(locked(lock, say))
        busy = [image for image in images if not yes and is_held(image.work / LOCK)]
        _show_holdings(images, say)
        found = list(_unneeded(images, busy, say))
        for why, group in groupby(found, key=lambda each: each.why):
            say(f"{why}:")
            for each in group:
                say(f"{amount(disk(each.paths).size):>9}  {_text(each.name)}")
        if not found:
            say("Nothing to remove")
            return
        freed = amount(disk(path for each in found for path in each.paths).freed)
        if not yes:
            say(f"{freed} would be freed; `doit prune --yes` removes all of it")
            return
        for each in found:
            _remove(each, say)
        say(f"Removed; {freed} freed")


def _locks(images: Sequence[Image]) -> list[Path]:
    """The locks to hold while something is removed, in the order in which to take them."""
    works = {image.work for image in images if image.work.is_dir()} | {each.within for each in gone(images)}
    stores = {image.binpkgs for image in images if is_own(image.binpkgs, image)}
    return [work / LOCK for work in sorted(works)] + [store / ".lock" for store in sorted(stores)]


def _unneeded(images: Sequence[Image], busy: Container[Image], say: Say) -> Iterator[Unneeded]:
    """All of it; what builds leave behind is not known of the images that are `busy`."""
    for image in images:
        if image in busy:
            say(f"{image.name} is being built: what that has made so far is not looked at")
        else:
            yield from left_over(image)
    yield from gone(images)
    stores = [folder for folder in _folders(images, "binpkgs") if is_own(folder, images[0])]
    distfiles = [folder for folder in _folders(images, "distfiles") if is_own(folder, images[0])]
    if not stores and not distfiles:
        return
    needed = _needed(images, say)
    if needed is not None:
        for folder in stores:
            yield from packages(folder, needed)
        for folder in distfiles:
            yield from sources(folder, needed)


def _needed(images: Sequence[Image], say: Say) -> list[Needs] | None:
    """What each image needs; None if that is not known of all of them: then what they share is to be left alone."""
    found = []
    with tempfile.TemporaryDirectory(prefix="quern-") as scratch:
        for image in images:
            try:
                found.append(needs(image, Path(scratch) / image.name, say))
            except QuernError as error:
                say(f"What {image.name} needs is not known, so packages and sources are kept: {error}")
                return None
    return found


def _show_holdings(images: Sequence[Image], say: Say) -> None:
    """Say what each folder holds; what several hold, as hard links, is counted where it is met first."""
    seen: set[tuple[int, int]] = set()
    closed = 0
    for what in ("binpkgs", "distfiles"):
        for folder in _folders(images, what):
            count = sum(1 for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
            shared = "" if is_own(folder, images[0]) else "; not in the project's folder, so nothing is removed there"
            say(f"{amount(disk([folder], seen).size):>9}  {_text(str(folder))}: {count} files{shared}")
    for image in images:
        if image.work.is_dir():
            found = [(disk([path], seen), path.name) for path in sorted(image.work.iterdir())]
            parts = [(each.size, name) for each, name in found]
            closed += sum(each.closed for each, _ in found)
            shown = [f"{name} {amount(size)}" for size, name in sorted(parts, reverse=True) if size >= LEAST]
            total = amount(sum(size for size, _ in parts))
            say(f"{total:>9}  {_text(str(image.work))}{': ' if shown else ''}{', '.join(shown)}")
    if closed:
        say(f"Not counted: what is in {counted(closed, 'folder')} that only another user may list, root for example")


def _folders(images: Sequence[Image], kind: str) -> list[Path]:
    found = {getattr(image, kind) for image in images}
    return sorted(folder for folder in found if folder.is_dir())


class Disk(NamedTuple):
    """Bytes on disk, and how many of them removing it would free: not those of files with other names elsewhere.

    `closed` are the folders that this user may not list: what is in them is not counted.
    """

    size: int
    freed: int
    closed: int = 0


def disk(paths: Iterable[Path], seen: set[tuple[int, int]] | None = None) -> Disk:
    """What is at `paths` and below takes; what is in `seen`, device and inode, is left out, and it is added to."""
    names: dict[tuple[int, int], int] = {}
    size = freed = 0
    closed: list[str] = []
    for status in _walk(paths, closed):
        inode = (status.st_dev, status.st_ino)
        names[inode] = names.get(inode, 0) + 1
        blocks = status.st_blocks * 512
        if names[inode] == 1 and (seen is None or inode not in seen):
            size += blocks
        if stat.S_ISDIR(status.st_mode) or names[inode] == status.st_nlink:
            freed += blocks
    if seen is not None:
        seen.update(names)
    return Disk(size, freed, len(closed))


def _walk(paths: Iterable[Path], closed: list[str]) -> Iterator[os.stat_result]:
    """The status of everything there that may be looked at; a build may remove it meanwhile.

    Folders that this user may not list are added to `closed`.
    """
    pending = [os.fspath(path) for path in paths]
    while pending:
        path = pending.pop()
        with suppress(OSError):  # what cannot be named, in folders nested too deeply, is not counted
            status = os.lstat(path)
            yield status
            if stat.S_ISDIR(status.st_mode):
                try:
                    pending += [os.path.join(path, name) for name in os.listdir(path)]
                except PermissionError:
                    closed.append(path)


def _remove(what: Unneeded, say: Say) -> None:
    run = Run(_driver(what.image, say), say)
    for path in what.paths:
        if path.is_dir() and not path.is_symlink():
            discard(path, what.within, run)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        what.within.rmdir()


def _driver(image: Image | None, say: Say) -> Driver:
    """What may remove the files of `image`: those that a container has made only another one may."""
    return driver_of(image, say) if image else RawDriver()


def _text(name: str) -> str:
    """A path for people: relative to the current folder, if it is there."""
    here = f"{os.getcwd()}{os.sep}"
    return spelt(name.removeprefix(here))
