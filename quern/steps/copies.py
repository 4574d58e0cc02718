"""Throw-away copies of a finished image, to run programs in: build/NAME/.try.*.new/image/"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from quern.drivers.raw import RawDriver
from quern.project import Image
from quern.steps.lock import is_held, locked
from quern.steps.tarball import tarball_of

PREFIX, SUFFIX, LOCK = ".try.", ".new", "lock"


@contextmanager
def unpacked(image: Image, root: Path) -> Iterator[None]:
    """While inside, a copy of the image is at `root`."""
    here = RawDriver()
    try:
        here.call("unpack", archive=str(tarball_of(image)[0]), target=str(root))
        yield
    finally:
        here.call("remove", path=str(root), within=str(root.parent))


@contextmanager
def copied(image: Image, say: Callable[[str], None]) -> Iterator[Path]:
    """While inside, there is a copy of the image, of which this gives the root; others may build the image meanwhile.

    Copies that killed runs have left are removed.
    """
    here, work = RawDriver(), image.work
    with ExitStack() as stack:
        with locked(work / "lock", say):
            for path in left(work):
                here.call("remove", path=str(path), within=str(work))
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=SUFFIX, dir=work))
            stack.callback(here.call, "remove", path=str(folder), within=str(work))
            stack.enter_context(locked(folder / LOCK, say))
            here.call("unpack", archive=str(tarball_of(image)[0]), target=str(folder / "image"))
        yield folder / "image"


def left(work: Path) -> list[Path]:
    """The copies in a work folder that no running process uses."""
    return [path for path in sorted(work.glob(f"{PREFIX}*{SUFFIX}")) if not is_held(path / LOCK)]
