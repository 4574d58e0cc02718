from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest

from quern.drivers.stream import STDERR, STDOUT, Attached, Lines
from quern.errors import EngineError


def frame(stream: int, content: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(content)) + content


def serve(folder: Path, *pieces: bytes) -> str:
    """A daemon that answers one request with these pieces, and goes away; its address."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()

    def answer() -> None:
        with listener, listener.accept()[0] as connection:
            connection.recv(1 << 16)
            for piece in pieces:
                connection.sendall(piece)

    threading.Thread(target=answer, daemon=True).start()
    return f"unix://{folder / 's'}"


def test_frames_cut_anywhere(tmp_path: Path) -> None:
    data = b"HTTP/1.1 101 UPGRADED\r\nX: y\r\n\r\n" + frame(STDOUT, b"one") + frame(STDERR, b"") + frame(STDERR, b"two")
    attached = Attached(serve(tmp_path, *(data[index : index + 1] for index in range(len(data)))), "id")
    assert list(attached.frames()) == [(STDOUT, b"one"), (STDERR, b""), (STDERR, b"two")]
    attached.close()


def test_a_daemon_that_dies_ends_the_stream(tmp_path: Path) -> None:
    attached = Attached(
        serve(tmp_path, b"HTTP/1.1 200 OK\r\n\r\n" + frame(STDOUT, b"whole"), b"\1\0\0\0\0\0\0\7cu"), "id"
    )
    assert list(attached.frames()) == [(STDOUT, b"whole")]
    attached.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 404 Not Found\r\n\r\n"])
def test_refused(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(EngineError, match="the container"):
        Attached(serve(tmp_path, answer), "id")


def test_lines_of_pieces() -> None:
    """A character cut in two, lines of any length, and one without an end."""
    lines: list[str] = []
    writer = Lines(lines.append)
    text = "ümlaut\r\n" + "x" * 40000 + "\n\nlast €"
    data = text.encode() + b"\xff"
    for index in range(0, len(data), 7):
        writer.write(data[index : index + 7])
    writer.close()
    writer.close()
    assert lines == ["ümlaut", "x" * 40000, "", "last €\N{REPLACEMENT CHARACTER}"]
