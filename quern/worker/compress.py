"""Compressors that give the same bytes for the same input, whatever the number of cores.

`compressor(name, sink)` is a context manager with `write(data)`; leaving it without an error writes the end.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from types import ModuleType
from typing import IO, TYPE_CHECKING

from . import WorkerError

if TYPE_CHECKING:
    from concurrent.futures import Future

Sink = Callable[[bytes], object]

BLOCK = 1 << 20
WINDOW = 1 << 15  # how far back deflate can point, RFC 1951
GZIP_LEVEL = 9
ZSTD_LEVEL = 12

# RFC 1952: no flags, so no name; time 0; slowest algorithm; operating system unknown.
GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff"


class Compressor(AbstractContextManager["Compressor"]):
    """Takes data piece by piece and gives compressed data to its sink."""

    def write(self, data: bytes) -> None:
        """Compress `data`."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is still held back, and the end mark."""
        raise NotImplementedError

    def close(self) -> None:
        """Let threads and processes go, finished or not."""

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()


class Gzip(Compressor):
    """One gzip member, its blocks of fixed size compressed side by side.

    Each block may point into the one before it and ends on a byte boundary (Z_SYNC_FLUSH), so together they are one
    ordinary deflate stream. Blocks are cut by size, not by cores: the bytes do not depend on the machine.
    """

    def __init__(self, sink: Sink) -> None:
        from concurrent.futures import ThreadPoolExecutor  # here: identity() is asked at every run of doit

        self.sink = sink
        self.cores = len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.cores)  # zlib lets go of the interpreter's lock
        self.pending: deque[Future[bytes]] = deque()
        self.buffer = bytearray()
        self.window = b""
        self.crc = self.size = 0
        sink(GZIP_HEADER)

    def write(self, data: bytes) -> None:
        self.buffer += data
        while len(self.buffer) > BLOCK:
            self._submit(bytes(self.buffer[:BLOCK]), zlib.Z_SYNC_FLUSH)
            del self.buffer[:BLOCK]

    def finish(self) -> None:
        self._submit(bytes(self.buffer), zlib.Z_FINISH)
        while self.pending:
            self.sink(self.pending.popleft().result())
        self.sink(self.crc.to_bytes(4, "little") + (self.size & 0xFFFFFFFF).to_bytes(4, "little"))

    def close(self) -> None:
        self.pool.shutdown(wait=True)

    def _submit(self, block: bytes, flush: int) -> None:
        self.crc = zlib.crc32(block, self.crc)
        self.size += len(block)
        self.pending.append(self.pool.submit(_deflate, block, self.window, flush))
        self.window = block[-WINDOW:]
        while len(self.pending) > 2 * self.cores:  # bounds the memory
            self.sink(self.pending.popleft().result())


def _deflate(block: bytes, window: bytes, flush: int) -> bytes:
    raw = -zlib.MAX_WBITS
    stream = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, raw, 9, zlib.Z_DEFAULT_STRATEGY, zdict=window)
    return stream.compress(block) + stream.flush(flush)


class ZstdModule(Compressor):
    """zstd by the `zstandard` module."""

    def __init__(self, sink: Sink, zstandard: ModuleType) -> None:
        self.sink = sink
        self.stream = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()

    def write(self, data: bytes) -> None:
        self.sink(self.stream.compress(data))

    def finish(self) -> None:
        self.sink(self.stream.flush())


class ZstdCommand(Compressor):
    """zstd by the `zstd` command, where the module is not installed."""

    def __init__(self, sink: Sink, command: str) -> None:
        import subprocess
        from concurrent.futures import ThreadPoolExecutor

        self.sink = sink
        self.process = subprocess.Popen(
            # One thread: with more the bytes are others.
            [command, "--quiet", "--stdout", f"-{ZSTD_LEVEL}", "--single-thread", "--check"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pool = ThreadPoolExecutor(1)  # reads while we write: two full pipes would wait for each other
        self.reader = self.pool.submit(self._read)

    @property
    def stdin(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            while data := stream.read(BLOCK):
                self.sink(data)

    def write(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # finish() says why
            self.stdin.write(data)
        if self.reader.done():
            self._check()

    def finish(self) -> None:
        with suppress(BrokenPipeError):
            self.stdin.close()
        self._check()

    def _check(self) -> None:
        self.reader.result()  # raises what our own sink raised
        if self.process.wait():
            raise WorkerError(f"zstd stopped with status {self.process.returncode}")

    def close(self) -> None:
        self.process.kill()  # nothing to a process that has been waited for
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.process.wait()
        self.pool.shutdown(wait=True)


def compressor(name: str, sink: Sink) -> Compressor:
    """The compressor called `name` in the configuration, writing to `sink`."""
    if name == "gzip":
        return Gzip(sink)
    module, command = find_zstd(name)
    return ZstdModule(sink, module) if module else ZstdCommand(sink, command)


def identity(name: str) -> str:
    """What decides on the bytes besides the input: program, version, level. Part of the tarball's key."""
    if name == "gzip":
        return f"gzip zlib-{zlib.ZLIB_RUNTIME_VERSION} level {GZIP_LEVEL} block {BLOCK}"
    module, command = find_zstd(name)
    if module:
        version = ".".join(map(str, module.ZSTD_VERSION))
        return f"zstd libzstd-{version} level {ZSTD_LEVEL}"
    import subprocess

    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return f"zstd command {said} level {ZSTD_LEVEL}"


def find_zstd(name: str) -> tuple[ModuleType | None, str]:
    """The `zstandard` module, or None and the path of the zstd command."""
    if name != "zstd":
        raise WorkerError(f"compression {name!r}: expected gzip or zstd")
    import shutil

    try:
        import zstandard
    except ImportError:
        command = shutil.which("zstd")
        if command is None:
            raise WorkerError(
                "compression zstd needs the Python module zstandard (pip install 'quern-builder[zstd]') "
                "or the zstd command (Debian package zstd); neither is here"
            ) from None
        return None, command
    return zstandard, ""
