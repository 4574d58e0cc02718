"""All source files of a plan: which are missing, where each can be had, and several of them at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from quern.errors import BuildError, display
from quern.fetching import manifest
from quern.fetching.download import Attempt, Downloader, Failed
from quern.fetching.folder import Partial, partial_size
from quern.fetching.manifest import Expected
from quern.fetching.uris import Places, is_name

if TYPE_CHECKING:
    from quern.fetching.web import Web
    from quern.portage.plan import Package

AT_ONCE = 4  # files
PAUSE = 0.2  # seconds between two looks at a file that another process fetches
OFTEN = 10  # seconds between two lines on how far a file is


class Source(NamedTuple):
    """A source file of `packages`, and what their Manifests say.

    `present` is how the file that is there differs from that; None if there is none.
    """

    name: str
    packages: tuple[Package, ...]
    file: Expected
    present: str | None = None

    @property
    def package(self) -> Package:
        """The first package that needs it, for messages."""
        return self.packages[0]


class Fetched(NamedTuple):
    """A source that is there now, from `url` (empty: it was already whole); `aside` is what had its name before."""

    source: Source
    url: str
    aside: Path | None


class Unfetched(NamedTuple):
    """A source that is not there, and the addresses that were tried."""

    source: Source
    attempts: Sequence[Attempt]


class Progress(NamedTuple):
    """How many bytes of a source are there."""

    source: Source
    size: int


class Begun(NamedTuple):
    """A source that is being fetched."""

    source: Source


Event = Fetched | Unfetched | Progress | Begun


def missing(packages: Iterable[Package], distfiles: Path) -> list[Source]:
    """The source files of the packages that are not in the folder as their Manifests describe them.

    Raises BuildError for a file that no Manifest describes, or two differently, or whose name is none.
    """
    found = dict[str, Source]()
    for package in packages:
        for name, file in manifest.of_package(package, package.distfiles).items():
            if not is_name(name):
                raise BuildError(f"{package.cpv}: {name!r} is no name for a source file (SRC_URI)")
            if file is None:
                raise BuildError(_undescribed(name, package))
            known = found.get(name) or Source(name, (), file)
            if not _agree(known.file, file):
                raise BuildError(f"{name}: the Manifests of {known.package.cpv} and {package.cpv} describe two files")
            found[name] = known._replace(packages=(*known.packages, package))
    present = {name: manifest.problem(distfiles / name, source.file) for name, source in found.items()}
    return [source._replace(present=present[name]) for name, source in found.items() if present[name] != ""]


def _undescribed(name: str, package: Package) -> str:
    """What to say of a file of which the package's Manifest has no size and digest."""
    ebuild = Path(package.ebuild)
    file = ebuild.with_name("Manifest")
    what = "it has no such line, or none with a digest that is known here" if file.exists() else "there is no such file"
    return (
        f"{name} has no digest in the Manifest of {package.cpv}\n"
        f"  {display(file)}: {what}\n`ebuild {display(ebuild)} manifest` writes it."
    )


def _agree(one: Expected, other: Expected) -> bool:
    common = one.digests.keys() & other.digests.keys()
    return one.size == other.size and all(one.digests[name] == other.digests[name] for name in common)


class Stopped(Exception):
    """The user, or an error, ended the fetching."""


def fetch(sources: Sequence[Source], places: Mapping[str, Places], distfiles: Path, web: Web) -> Iterator[Event]:
    """Fetch the sources, each from its places, and tell what happens; independent ones go on after a failure.

    Raises OSError where the folder does not take them.
    """
    work = _Work(sources, places, distfiles, web)
    for _ in range(min(AT_ONCE, len(sources))):
        threading.Thread(target=work.run, daemon=True).start()  # one that waits for a server does not keep us
    running, left, due = dict[str, Source](), len(sources), monotonic() + OFTEN
    try:
        while left:
            try:
                event = work.events.get(timeout=max(0, due - monotonic()))
            except queue.Empty:
                due = monotonic() + OFTEN
                yield from (Progress(source, partial_size(distfiles, source.name)) for source in running.values())
                continue
            if isinstance(event, Exception):
                raise event
            if isinstance(event, Begun):
                running[event.source.name] = event.source
            else:
                del running[event.source.name]
                left -= 1
            yield event
    finally:
        work.stop.set()


class _Work:
    """What the threads share."""

    def __init__(self, sources: Sequence[Source], places: Mapping[str, Places], distfiles: Path, web: Web) -> None:
        self.events = queue.SimpleQueue[Begun | Fetched | Unfetched | Exception]()
        self.stop = threading.Event()
        self._places, self._distfiles = places, distfiles
        self._downloader = Downloader(web, self._check)
        self._todo = queue.SimpleQueue[Source]()
        for source in sorted(sources, key=lambda each: -each.file.size):  # what takes longest first
            self._todo.put(source)

    def run(self) -> None:
        """Fetch one source after the other."""
        try:
            while True:
                source = self._todo.get_nowait()
                self.events.put(Begun(source))
                self.events.put(self._one(source))
        except (queue.Empty, Stopped):
            pass
        except Exception as error:  # the main thread raises it
            self.events.put(error)

    def _one(self, source: Source) -> Fetched | Unfetched:
        """Fetch a source, unless another process does so meanwhile."""
        with Partial(self._distfiles, source.name, source.file, self._wait) as partial:
            if manifest.problem(self._distfiles / source.name, source.file) == "":
                partial.clear()
                return Fetched(source, "", None)
            try:
                url = self._downloader.download(source.name, source.file, self._places[source.name].tried, partial)
            except Failed as failed:
                return Unfetched(source, failed.attempts)
            return Fetched(source, url, partial.finish())

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _wait(self) -> None:
        """Wait for another process that has the same file."""
        self._check()
        sleep(PAUSE)
