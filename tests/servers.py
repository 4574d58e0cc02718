"""Servers on the loopback interface: of a folder, or with an answer made up for each path."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and notes what was asked for; cuts off the first connections after what is given for each."""

    def do_GET(self) -> None:
        if self.server.cut:  # type: ignore[attr-defined]
            self.wfile.write(self.server.cut.pop(0))  # type: ignore[attr-defined]
        else:
            super().do_GET()

    def log_request(self, *args: object) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A server that says nothing of what went wrong with a connection."""

    daemon_threads = True  # a page that never ends

    def handle_error(self, *args: object) -> None:
        """The other end has gone."""


@contextmanager
def serving(
    folder: Path, tls: ssl.SSLContext | None = None, cut: Sequence[bytes] = ()
) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of `folder`, and the targets that it answered for; `cut` as the handler has it."""
    with Server(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.asked = asked = list[str]()  # type: ignore[attr-defined]
        server.cut = list(cut)  # type: ignore[attr-defined]
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


class Asked(NamedTuple):
    """A request: its target, and its headers by name in small letters."""

    target: str
    headers: Mapping[str, str]


Write = Callable[[bytes], object]
Page = Callable[[Asked, Write], object]


@contextmanager
def answering(pages: Mapping[str, Page]) -> Iterator[tuple[str, list[Asked]]]:
    """The address of a server, and what it was asked: each page writes the whole answer, and then it is cut off."""
    asked = list[Asked]()

    class Scripted(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            request = Asked(self.path, {name.lower(): value for name, value in self.headers.items()})
            asked.append(request)
            pages[self.path](request, self.wfile.write)

        do_CONNECT = do_GET

        def log_message(self, *args: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Scripted) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def answer(status: str, body: bytes = b"", **headers: str) -> Page:
    """A page that gives this status, these headers (with _ for -) and this body, its length if none is given."""
    headers = {"Content_Length": str(len(body)), **headers}
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {text}" for name, text in headers.items() if text)]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    return lambda asked, write: write(head + body)


def resumable(body: bytes) -> Page:
    """A page that gives the part that was asked for (RFC 9110, 14)."""

    def page(asked: Asked, write: Write) -> None:
        start = int(asked.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            answer("416 Range Not Satisfiable", Content_Range=f"bytes */{len(body)}")(asked, write)
        elif start:
            part = f"bytes {start}-{len(body) - 1}/{len(body)}"
            answer("206 Partial Content", body[start:], Content_Range=part)(asked, write)
        else:
            answer("200 OK", body)(asked, write)

    return page


def in_turn(*pages: Page) -> Page:
    """A page that is another one each time; the last one from then on."""
    left = list(pages)
    return lambda asked, write: (left.pop(0) if len(left) > 1 else left[0])(asked, write)


def closed_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
