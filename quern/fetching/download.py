"""One source file, from the first of its addresses that has it."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from quern.fetching.folder import Partial
from quern.fetching.manifest import Expected
from quern.fetching.mirrors import Layout, layouts, path_in_mirror
from quern.fetching.uris import Place, public
from quern.fetching.web import READ, Answer, Dropped, Misfit, NotHad, Web

TRIES = 2  # of an address whose connection was dropped
CHUNK = 256 << 10  # bytes
SLOWEST = 100  # bytes a second, for READ seconds: less is as good as nothing
LAYOUT = "distfiles/layout.conf"  # below a mirror (GLEP 75)
LAYOUT_SIZE = 64 << 10  # bytes, at most


class Attempt(NamedTuple):
    """An address that was tried in vain, fit to be shown, and why; `other` says that another file is there."""

    url: str
    why: str
    other: bool = False


class Failed(Exception):
    """No address of a file has it."""

    def __init__(self, attempts: Sequence[Attempt]) -> None:
        super().__init__()
        self.attempts = attempts


class Downloader:
    """Fetches files with `web`; `stopped` is called between two chunks, and may raise.

    May be used by several threads at once.
    """

    def __init__(self, web: Web, stopped: Callable[[], None]) -> None:
        self._web, self._stopped = web, stopped
        self._layouts = dict[str, list[Layout]]()
        self._reading_layout = threading.Lock()

    def download(self, name: str, file: Expected, places: Sequence[Place], partial: Partial) -> str:
        """Complete `partial`; returns the address that had the last of it. Raises Failed."""
        if not partial.check.problem():  # it was complete when we were killed
            return ""
        attempts = []
        for place in places:
            url = self._url(place, name, file)
            try:
                self._from(url, file, partial)
            except NotHad as error:
                attempts.append(Attempt(public(url), str(error), error.other))
            else:
                return public(url)
        raise Failed(attempts)

    def _from(self, url: str, file: Expected, partial: Partial) -> None:
        """Complete `partial` from one address; of a host that has sent nothing no more is asked. Raises NotHad."""
        tries, before = TRIES, partial.size
        while True:
            is_continued = partial.size > 0
            try:
                with self._web.open(url, partial.size) as answer:
                    self._copy(answer, file, partial)
            except Misfit:
                partial.clear()
            except Dropped:
                tries -= 1
                if not tries:
                    if partial.size == before:
                        self._web.give_up(url)
                    raise
            else:
                why = partial.check.problem()
                if not why:
                    return
                partial.clear()
                if not is_continued:
                    raise NotHad(why, other=True)

    def _copy(self, answer: Answer, file: Expected, partial: Partial) -> None:
        """Add what is sent, and no byte more than the file has. Raises NotHad."""
        if answer.size not in (None, file.size):
            raise NotHad(f"has {answer.size} bytes; its Manifest says {file.size}", other=True)
        if answer.start != partial.size:
            partial.clear()
        since, before = monotonic(), partial.size
        while data := answer.read(min(CHUNK, file.size - partial.size + 1)):
            if partial.size + len(data) > file.size:
                partial.clear()
                raise NotHad(f"has more than the {file.size} bytes that its Manifest says", other=True)
            partial.write(data)
            self._stopped()
            if monotonic() - since > READ:
                if partial.size - before < SLOWEST * READ:
                    raise Dropped(f"sent {partial.size - before} bytes in {READ} seconds")
                since, before = monotonic(), partial.size
        if partial.size < file.size:
            raise Dropped(f"the connection was closed after {partial.size} of {file.size} bytes")

    def _url(self, place: Place, name: str, file: Expected) -> str:
        """The address of a file at a place; a mirror is asked once for its layout."""
        if not place.is_mirror:
            return place.url
        base = place.url.rstrip("/")
        with self._reading_layout:
            if base not in self._layouts:
                self._layouts[base] = self._read_layout(f"{base}/{LAYOUT}")
        return f"{base}/distfiles/{path_in_mirror(name, file, self._layouts[base])}"

    def _read_layout(self, url: str) -> list[Layout]:
        try:
            return layouts(read(self._web, url, LAYOUT_SIZE).decode(errors="replace"))
        except NotHad:  # an old mirror has none, and its files in one folder
            return []


def read(web: Web, url: str, limit: int) -> bytes:
    """What is at an address, of which there may be `limit` bytes. Raises NotHad."""
    content = io.BytesIO()
    with web.open(url) as answer:
        while data := answer.read(CHUNK):
            content.write(data)
            if content.tell() > limit:
                raise NotHad(f"is of more than {limit >> 10} KiB")
        if answer.size not in (None, content.tell()):
            raise Dropped("the connection was closed early")
    return content.getvalue()
