"""Several files at once: what is told while they are fetched, and what one failure means for the others."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from quern.fetching import messages, sources
from quern.fetching.manifest import Expected
from quern.fetching.sources import Begun, Event, Fetched, Progress, Source, Unfetched
from quern.fetching.uris import Place, Places
from quern.fetching.web import Web
from quern.portage.plan import Package
from tests.servers import Asked, Write, answer, answering

PACKAGE = Package("lab/a-1", "0", "0", "lab", (), (), (), False, "", {}, (), (), ())
BODY = b"x" * 100_000


def wanted(name: str, body: bytes = BODY) -> Source:
    return Source(name, (PACKAGE,), Expected(len(body), {"SHA512": hashlib.sha512(body).hexdigest()}))


def events(folder: Path, address: str, *names: str) -> list[Event]:
    found = {name: Places((Place(f"{address}/{name}"),)) for name in names}
    return list(sources.fetch([wanted(name) for name in names], found, folder, Web({})))


def test_four_at_once(tmp_path: Path) -> None:
    """None of them is answered before all four have asked; more do not ask at the same time."""
    together, most, now = threading.Barrier(4, timeout=20), list[int](), list[str]()

    def page(asked: Asked, write: Write) -> None:
        now.append(asked.target)
        most.append(len(now))
        together.wait()
        now.remove(asked.target)
        answer("200 OK", BODY)(asked, write)

    names = [str(number) for number in range(8)]
    with answering({f"/{name}": page for name in names}) as (address, _):
        found = events(tmp_path, address, *names)
    assert sorted(event.source.name for event in found if isinstance(event, Fetched)) == names
    assert max(most) == 4


def test_the_others_go_on_after_a_failure(tmp_path: Path) -> None:
    pages = {"/one": answer("404 Not Found"), "/two": answer("200 OK", BODY)}
    with answering(pages) as (address, _):
        found = events(tmp_path, address, "one", "two")
    assert {type(event): event.source.name for event in found if not isinstance(event, Begun)} == {
        Unfetched: "one",
        Fetched: "two",
    }


def test_how_far_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "OFTEN", 0.1)

    def page(asked: Asked, write: Write) -> None:
        write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY[:50_000])
        time.sleep(0.5)
        write(BODY[50_000:])

    with answering({"/one": page}) as (address, _):
        found = events(tmp_path, address, "one")
    told = [event for event in found if isinstance(event, Progress)]
    assert told[-1].size == 50_000
    assert messages.progress(told[-1]) == "  one: 0.1 of 0.1 MB"
    assert isinstance(found[-1], Fetched)


def test_a_folder_that_is_not_there_is_everybody_s_error(tmp_path: Path) -> None:
    with answering({"/one": answer("200 OK", BODY)}) as (address, _), pytest.raises(FileNotFoundError) as error:
        events(tmp_path / "absent", address, "one")
    assert error.value.filename == str(tmp_path / "absent/one.__download__")
