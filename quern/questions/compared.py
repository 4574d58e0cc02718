"""What is not the same in two images: packages, files by package, configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from quern.errors import BuildError, display
from quern.inventory import FORMER, File, Inventory, lock_of, read
from quern.portage import changes, lockfile
from quern.portage.plan import package_name
from quern.project import Image
from quern.questions.base import read_tree
from quern.questions.bill import CHAIN
from quern.steps.base import Run
from quern.steps.image import INVENTORY, ImageStep
from quern.steps.packages import LOCK
from quern.steps.receipt import Place, of_one_build
from quern.worker.special import instead
from quern.worker.vdb import described

NOBODYS = "no package's"
PACKED = ("rootfs", "history")  # of an image's configuration: how its files are packed


class Files(NamedTuple):
    """The files of one package, or of none: paths, and by how many bytes there are more."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    size: int


class Difference(NamedTuple):
    """`packages` are in words, a line each, and None where one of the sides is not known; so are `settings`.

    `files` are by package, biggest change first; `sizes` in bytes, before and after. `is_same` is False too where only
    the image ids differ, of both sides that have one: then times do, say. The id alone does not make it True: an
    archive need not have the layers that its configuration names.
    """

    is_same: bool
    packages: list[str] | None
    settings: dict[str, tuple[Any, Any]] | None
    files: dict[str, Files]
    sizes: tuple[int, int]


def kept(image: Image, run: Run) -> tuple[Inventory, Inventory | None]:
    """The image, with its packages as they are now, and the one before; the work folder's lock is the caller's to hold.

    Raises BuildError, and DriverError.
    """
    folder = Place(image.work, ImageStep.name).output
    last = read(folder / INVENTORY)
    if last is None or of_one_build(image.work, CHAIN) is None:
        raise BuildError(f"{image.name} is not finished; `doit image:{image.name}` makes it")
    installed = read_tree(run, described, root=str(Place(image.work, "root").output / "image"))
    return last._replace(lock=lock_of(Place(image.work, "packages").output / LOCK, installed)), read(folder / FORMER)


def moves(image: Image, path: Path) -> list[str]:
    """How the image's lock is not as the one at `path`, a line a package. Raises BuildError."""
    own = Place(image.work, "packages").output / LOCK
    if found := instead(path):
        raise BuildError(f"{display(path)}: expected a lock, found {found}")
    try:
        before, after = (lockfile.parse(each.read_text("utf-8", "replace"), display(each)) for each in (path, own))
    except OSError as error:
        raise BuildError(f"{display(path)}: {error.strerror}") from None
    return changes.moves(before, after)


def difference(before: Inventory, after: Inventory) -> Difference:
    """How `after` is not as `before`."""
    packages = settings = None
    if before.lock is not None and after.lock is not None:
        packages = changes.moves(lockfile.parse(before.lock, "before"), lockfile.parse(after.lock, "after"))
    if before.settings is not None and after.settings is not None:
        settings = _settings(_flat(before.settings), _flat(after.settings))
    files = _files(before.files, after.files)
    moved = before.ids and after.ids and not {*before.ids} & {*after.ids}
    return Difference(
        is_same=not (moved or packages or settings or files),
        packages=packages,
        settings=settings,
        files=files,
        sizes=(_size(before.files), _size(after.files)),
    )


def _size(files: Iterable[File]) -> int:
    return sum(file.size for file in files)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An image's configuration, each variable and label by itself."""
    top = {name.lower(): value for name, value in settings.items() if name not in (*PACKED, "config")}
    flat = dict(top)
    for name, value in (settings.get("config") or {}).items():
        if name == "Env":
            flat |= {f"env {variable.partition('=')[0]}": variable.partition("=")[2] for variable in value or ()}
        elif isinstance(value, dict):
            flat |= {f"{name.lower().rstrip('s')} {key}": said or "set" for key, said in value.items()}
        else:
            flat[name.lower()] = value
    return {name: value for name, value in flat.items() if value not in (None, "", [], False)}


def _settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = sorted({*before, *after})
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def _files(before: Sequence[File], after: Sequence[File]) -> dict[str, Files]:
    """By package, of whatever version; where a side does not know whose its files are, the other side says it."""
    old, new = {file.path: file for file in before}, {file.path: file for file in after}
    found: dict[str, Files] = {}
    for path in sorted({*old, *new}):
        was, now = old.get(path), new.get(path)
        if was and now and was._replace(package="") == now._replace(package=""):
            continue
        owner = package_name((now and now.package) or (was and was.package) or NOBODYS)
        files = found.setdefault(owner, Files([], [], [], 0))
        (files.changed if was and now else files.added if now else files.removed).append(f"/{path}")
        size = (now.size if now else 0) - (was.size if was else 0)
        found[owner] = files._replace(size=files.size + size)
    return dict(sorted(found.items(), key=lambda row: (-abs(row[1].size), row[0])))
