"""Whatever a daemon answers, by the bare request and by the SDK, there is one line of message, in time."""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quern import engine
from quern.config.settings import Docker, Storage
from quern.drivers import containers, storage
from quern.drivers.stream import Attached
from quern.errors import QuernError
from quern.worker import guard

VERSION = b'{"ApiVersion": "1.44", "Components": [{"Name": "Engine"}]}'
DEEP = b'{"Id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SHALLOW_ENOUGH = b"[" * 500 + b"]" * 500  # for the parser, not for what looks at it
ENDLESS = 1 << 40


@contextmanager
def daemon(folder: Path, answer: bytes, size: int = 0, *, version: bytes = VERSION, drip: float = 0) -> Iterator[str]:
    """Answers every request with `answer`, then with `size` blanks; with `version` where it is asked."""
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection:
            path = connection.recv(1 << 16).split()[1]
            is_version = path.endswith(b"/version")
            left = 0 if is_version else size
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
            body = version if is_version else answer
            if not body.startswith(b"HTTP/"):
                body = head + (b"\r\n" if left else b"Content-Length: %d\r\n\r\n" % len(body)) + body
            try:
                connection.sendall(body)
                while left > 0 and not done.wait(drip):
                    left -= connection.send(b" " if drip else b" " * (1 << 16))
            except OSError:
                pass

    def listen() -> None:
        while not done.is_set():
            try:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
            except TimeoutError:
                continue

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
        server.listen(8)
        server.settimeout(0.05)
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield f"unix://{folder}/s"
        finally:
            done.set()
            thread.join()


def docker_at(address: str) -> Docker:
    return Docker(
        daemon=address, image="x", network=None, memory=None, cpus=None, capabilities=(), workdir_storage=Storage()
    )


def refused(ask: Callable[[], object], within: float = 10) -> str:
    """The message, of one line; neither does it take long, nor much memory."""
    before, memory = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(QuernError) as caught:
        ask()
    assert time.monotonic() - before < within
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 300_000  # kB
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    return str(caught.value)


ODD = [
    b'{"Id": 5}',
    b'{"Id": null}',
    b'{"Id": {"Id": "x"}}',
    b"[]",
    b"null",
    b'"x"',
    b"no JSON\nat all",
    b"",
    DEEP,
    SHALLOW_ENOUGH,
    b'{"Id": "\\ud800"}',
    b"\xff\xfe\x00",
    b"HTTP/1.1 " + b"9" * 5000 + b" OK\r\n\r\n",
    b"HTTP/1.1 500 no\r\nContent-Type: application/json\r\n\r\n" + b'{"message": {"a": [1]}}',
    b"HTTP/1.1 500 no\r\nContent-Type: application/json\r\n\r\n[]",
    b"HTTP/1.1 500 no\r\n\r\n" + DEEP,
    b"HTTP/1.1 500 no\r\n\r\n" + b'{"message": "two\\nlines' + b" long" * 9000 + b'"}',
    b"HTTP/1.1 302 go\r\nLocation: /elsewhere\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nx",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n{}",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n{}",
]


@pytest.mark.parametrize("answer", ODD)
def test_an_image_s_id(tmp_path: Path, answer: bytes) -> None:
    """By both ways."""
    with daemon(tmp_path, answer) as address:
        refused(lambda: engine.tagged_image_id(address, "a:1", 5))

        def by_the_sdk() -> None:
            with engine.connect(address, 5) as client:
                engine._sdk_image_id(client, "a:1")

        refused(by_the_sdk)


@pytest.mark.parametrize(
    "answer", [*ODD[:11], b'[{"Id": 5}]', b'[{"Labels": []}]', b'[{"Labels": {"quern.work": 1}}]', b"[7]"]
)
def test_what_drivers_ask(tmp_path: Path, answer: bytes) -> None:
    with daemon(tmp_path, answer) as address:
        docker = docker_at(address)
        if answer not in (b"null", b"[]"):  # Go writes an empty list in both ways
            refused(lambda: containers.sweep(docker, tmp_path))

        def create() -> None:
            with containers.Container.created(docker, "x", "name", {}, [], {}):
                pass

        refused(create)
        if answer[:1] == b"[" or b"Id" not in answer:
            return
        with engine.connect(address, 5) as client:
            refused(lambda: containers.Container(client, docker, "x", "name").wait(""))
    volumes = [b'{"Volumes": 1}', b'{"Volumes": [1]}', b'{"Volumes": [{"Name": 1}]}']
    for index, each in enumerate(volumes):
        (tmp_path / str(index)).mkdir()
        with daemon(tmp_path / str(index), each) as address:
            refused(lambda address=address: storage.remove_volumes(docker_at(address), tmp_path))  # type: ignore[misc]


@pytest.mark.parametrize(
    "version", [b"[]", b"{}", b'{"ApiVersion": 5}', b'{"ApiVersion": "x.y"}', DEEP, b"", b"[" * 900]
)
def test_its_version(tmp_path: Path, version: bytes) -> None:
    def ask() -> None:
        with engine.connect(address, 5) as client:
            client.ping()

    with daemon(tmp_path, b"OK", version=version) as address:
        refused(ask)
    (tmp_path / "x").mkdir()
    components = [b'{"ApiVersion": "1.44", "Components": %s}' % each for each in (b"1", b"[1]", b'[{"Name": 1}]')]
    for index, each in enumerate(components):
        (tmp_path / str(index)).mkdir()
        with daemon(tmp_path / str(index), b"[]", version=each) as address:
            refused(lambda address=address: containers.swept(docker_at(address), tmp_path))  # type: ignore[misc]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[1]",
        b'{"stream": 5}',
        b'{"stream": "Loaded image: a:1"}',
        b'{"errorDetail": 5, "error": []}',
        b'{"errorDetail": {"message": "no\\nroom"}}',
        b"no JSON",
        DEEP,
        b"HTTP/1.1 500 no\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\nx",
    ],
)
def test_what_loading_gives(tmp_path: Path, answer: bytes) -> None:
    (tmp_path / "x").write_bytes(b"x")
    with daemon(tmp_path, answer) as address:
        refused(lambda: engine.load_and_tag(address, tmp_path / "x", ["a:1"], ["sha256:0"]))


BY_THE_SDK = "the SDK"


@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        (b"{", lambda address: engine.tagged_image_id(address, "a:1", 5)),
        (b"{", lambda address: engine.ping(address, 5)),
        (b"HTTP/1.1 200 OK\r\nX: ", lambda address: engine.tagged_image_id(address, "a:1", 5)),
        (b"HTTP/1.1 200 OK\r\nX: ", BY_THE_SDK),
        (b"HTTP/1.1 500 no\r\n\r\n", BY_THE_SDK),
        (b"HTTP/1.1 302 no\r\nLocation: /x\r\n\r\n", BY_THE_SDK),
        (b"{", BY_THE_SDK),
        (b'{"stream": "', lambda address: engine.load_and_tag(address, Path(__file__), ["a:1"], ["sha256:0"])),
        (b"HTTP/1.1 101 UPGRADED\r\nX: ", lambda address: Attached(address, "x")),
        (b"HTTP/1.1 101 UPGRADED\r\n\r\n", lambda address: list(Attached(address, "x").frames())),
    ],
)
def test_answers_without_an_end(tmp_path: Path, answer: bytes, ask: Callable[[str], object]) -> None:
    """A body, headers, and what is attached to."""

    def by_the_sdk(address: str) -> None:
        with engine.connect(address, 5) as client:
            client.api.inspect_container("x")

    with daemon(tmp_path, answer, ENDLESS) as address:
        refused(lambda: (by_the_sdk if ask is BY_THE_SDK else ask)(address))  # type: ignore[comparison-overlap]


def test_answers_that_drip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_the_sdk() -> None:
        with engine.connect(address, 0.5) as client:
            client.api.inspect_container("x")

    with daemon(tmp_path, b"{", ENDLESS, drip=0.1) as address:
        assert "does not answer within 0.5 s" in refused(by_the_sdk, within=5)
        monkeypatch.setattr(guard, "PATIENCE", 0.5)
        before = time.monotonic()
        guard.ask(address.removeprefix("unix://"), "POST", "/x")
        assert time.monotonic() - before < 5


def test_what_is_right_still_is(tmp_path: Path) -> None:
    """Names of one image by docker and by Podman, in lines and in chunks."""
    (tmp_path / "x").write_bytes(b"x")
    line = json.dumps({"stream": "Loaded image: a:1\n", "Id": "abc"}).encode()
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(line), line)
    for index, answer in enumerate((line, chunked)):
        (tmp_path / str(index)).mkdir()
        with daemon(tmp_path / str(index), answer) as address:
            assert engine.load_and_tag(address, tmp_path / "x", ["a:1"], ["sha256:abc"]) == "sha256:abc"
