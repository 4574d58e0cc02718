"""The standard streams of a container, over the daemon's Unix socket.

Docker Engine API, "Attach to a container": the connection is upgraded to a raw one; what comes back is frames of eight
bytes (stream 1 or 2, three zeros, the length, big-endian) and content.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from quern.errors import EngineError

HEADER = struct.Struct(">BxxxL")
STDOUT, STDERR = 1, 2
TIMEOUT = 60  # seconds for each piece of the answer's head
HEAD, FRAME = 1 << 16, 1 << 24  # bytes at most


class Attached:
    """A connection to a container's streams; when it is closed, however that comes about, its standard input ends."""

    def __init__(self, address: str, container: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(TIMEOUT)
            self._socket.connect(address.removeprefix("unix://"))
            self._socket.sendall(
                f"POST /containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: docker\r\n"
                "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
            )
            self._buffer = self._head()
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise

    def _head(self) -> bytes:
        """Read the answer's head; returns what came after it."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._socket.recv(1 << 16)
            if not piece:
                raise EngineError("docker: the daemon closed the connection to the container")
            data += piece
            if len(data) > HEAD:
                raise EngineError("docker: the daemon does not say that it connects to the container")
        head, _, rest = data.partition(b"\r\n\r\n")
        status = head.split(None, 2)[1:2]
        if status not in ([b"101"], [b"200"]):
            raise EngineError(
                f"docker: cannot attach to the container: {head.decode(errors='replace').splitlines()[0]}"
            )
        return rest

    def send(self, data: bytes) -> None:
        """Write to the container's standard input."""
        self._socket.sendall(data)

    def fileno(self) -> int:
        """Its descriptor: what comes from a container with a terminal has no frames."""
        return self._socket.fileno()

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What the container writes, as (STDOUT or STDERR, bytes), until it ends or the daemon does."""
        while (header := self._read(HEADER.size)) is not None:
            stream, size = HEADER.unpack(header)
            if stream not in (STDOUT, STDERR) or size > FRAME:
                raise EngineError("docker: what the daemon sends of the container is not in frames of its protocol")
            content = self._read(size)
            if content is None:
                return
            yield stream, content

    def _read(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            try:
                piece = self._socket.recv(1 << 18)
            except ConnectionError:
                return None
            if not piece:
                return None
            self._buffer += piece
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def end(self) -> None:
        """Have `frames` end, in whatever thread."""
        with suppress(OSError):  # it has ended
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


class Lines:
    """Cuts pieces of output into lines; a character cut in two is whole again in its line."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._rest = b""

    def write(self, piece: bytes) -> None:
        """Take the next piece."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            self._line(line.decode(errors="replace").rstrip("\r"))

    def close(self) -> None:
        """Pass on what came without a line end."""
        if self._rest:
            self._line(self._rest.decode(errors="replace").rstrip("\r"))
            self._rest = b""
