"""lock:NAME: bring the lock in the project up to date, and say what moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from quern.errors import BuildError, ConfigError, display
from quern.portage import changes, lockfile
from quern.project import CONFIG, Image
from quern.questions.resolving import resolved
from quern.steps import committed
from quern.steps.base import Run

if TYPE_CHECKING:
    from quern.portage.lockfile import Locked

UNSET = """\
build.lock is not set; add to {config}:
    [build]
    lock = {lock}"""


def answer(image: Image, run: Run, *, check: bool) -> None:
    """Resolve, say what moves, and write the lock; with `check` raise BuildError instead of writing.

    A lock that cannot be read, after a merge say, is written anew. Raises ConfigError if the image has none.
    """
    lock = image.settings.build.lock
    if lock is None:
        raise ConfigError(_unset(image))
    text = committed.read(lock)
    packages = lockfile.of_plan(resolved(image, run))
    moves = [f"{len(packages)} package{'s' if len(packages) > 1 else ''}"]
    if text is not None:
        try:
            former = lockfile.parse(text, display(lock))
            moves = changes.moves(former, packages)
            packages = [_with_origin(package, former) for package in packages]
        except BuildError as error:
            moves = [str(error)]
    for line in moves or ["nothing moves"]:
        run.say(line)
    if moves and check:
        raise BuildError(f"{display(lock)} is not up to date; `doit lock:{image.name}` writes it")
    if moves:
        committed.write(lock, lockfile.text(packages))
        run.say(f"{display(lock)} is written")


def _with_origin(package: Locked, former: Iterable[Locked]) -> Locked:
    """The package with the binhost that the former lock had for the very same."""
    same = [each.binhost for each in former if each.cpv == package.cpv and not changes.changes(each, package)]
    return package._replace(binhost=same[0]) if same else package


def _unset(image: Image) -> str:
    folder = image.folder or image.base
    return UNSET.format(config=display(folder / CONFIG), lock=f"{folder.relative_to(image.base)}/packages.lock")
