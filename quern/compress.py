"""Compressors that give the same bytes for the same input, whatever the number of cores and the size of the pieces.

`compressor(name, sink)` is a context manager with `write(data)`; leaving it without an error writes the end.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import IO, TYPE_CHECKING, Any

from quern.errors import DriverError
from quern.worker import WorkerError, zstd

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
    """Takes data in pieces of any size, cuts it into blocks of BLOCK bytes and gives compressed data to its sink."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.buffer = bytearray()

    def write(self, data: bytes) -> None:
        """Compress `data`."""
        self.buffer += data
        while len(self.buffer) > BLOCK:
            self.block(bytes(self.buffer[:BLOCK]))
            del self.buffer[:BLOCK]

    def block(self, data: bytes) -> None:
        """Compress a block that is not the last."""
        raise NotImplementedError

    def finish(self, data: bytes) -> None:
        """Compress the last block, and write what is still held back, and the end mark."""
        raise NotImplementedError

    def close(self) -> None:
        """Let threads and processes go, finished or not."""

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self.finish(bytes(self.buffer))
        finally:
            self.close()


class Gzip(Compressor):
    """One gzip member, its blocks compressed side by side.

    Each block may point into the one before it and ends on a byte boundary (Z_SYNC_FLUSH), so together they are one
    ordinary deflate stream. Blocks are cut by size, not by cores: the bytes do not depend on the machine.
    """

    def __init__(self, sink: Sink) -> None:
        from concurrent.futures import ThreadPoolExecutor  # here: identity() is asked at every run of doit

        super().__init__(sink)
        self.cores = len(os.sched_getaffinity(0))
        self.pool = ThreadPoolExecutor(self.cores)  # zlib lets go of the interpreter's lock
        self.pending: deque[Future[bytes]] = deque()
        self.window = b""
        self.crc = self.size = 0
        sink(GZIP_HEADER)

    def block(self, data: bytes) -> None:
        self._submit(data, zlib.Z_SYNC_FLUSH)

    def finish(self, data: bytes) -> None:
        self._submit(data, zlib.Z_FINISH)
        while self.pending:
            self.sink(self.pending.popleft().result())
        self.sink(self.crc.to_bytes(4, "little") + (self.size & 0xFFFFFFFF).to_bytes(4, "little"))

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

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
    """zstd by a Python module, in one thread: with more the bytes are others."""

    def __init__(self, sink: Sink, found: zstd.Zstd) -> None:
        super().__init__(sink)
        module: Any = found.module
        if found.name == "zstandard":
            self.stream = module.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compressobj()
        else:
            parameter = module.CompressionParameter
            options = {parameter.compression_level: ZSTD_LEVEL, parameter.checksum_flag: 1}
            self.stream = module.ZstdCompressor(options=options)

    def block(self, data: bytes) -> None:
        self.sink(self.stream.compress(data))

    def finish(self, data: bytes) -> None:
        self.block(data)
        self.sink(self.stream.flush())


class ZstdCommand(Compressor):
    """zstd by the `zstd` command, where no module is installed."""

    def __init__(self, sink: Sink, command: str) -> None:
        import subprocess
        from concurrent.futures import ThreadPoolExecutor

        super().__init__(sink)
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

    def block(self, data: bytes) -> None:
        with suppress(BrokenPipeError):  # finish() says why
            self.stdin.write(data)
        if self.reader.done():
            self._check()

    def finish(self, data: bytes) -> None:
        self.block(data)
        with suppress(BrokenPipeError):
            self.stdin.close()
        self._check()

    def _check(self) -> None:
        self.reader.result()  # raises what our own sink raised
        if self.process.wait():
            raise DriverError(f"zstd stopped with status {self.process.returncode}")

    def close(self) -> None:
        self.process.kill()  # nothing to a process that has been waited for
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.process.wait()
        self.pool.shutdown(wait=True)


def compressor(name: str, sink: Sink) -> Compressor:
    """The compressor called `name` in the configuration, writing to `sink`. Raises DriverError if there is none."""
    if name == "gzip":
        return Gzip(sink)
    found = _zstd(name)
    return ZstdModule(sink, found) if found.module else ZstdCommand(sink, found.command)


def identity(name: str) -> str:
    """What decides on the bytes besides the input: program, version, level. Part of the tarball's key.

    Asked of this process's own modules, because this process compresses. Raises DriverError if there is none.
    """
    if name == "gzip":
        return f"gzip zlib-{zlib.ZLIB_RUNTIME_VERSION} level {GZIP_LEVEL} block {BLOCK}"
    found = _zstd(name)
    if found.module is None:
        import subprocess

        said = subprocess.run([found.command, "--version"], capture_output=True, text=True, check=True)
        return f"zstd command {said.stdout.strip()} level {ZSTD_LEVEL}"
    module: Any = found.module
    version = ".".join(map(str, module.ZSTD_VERSION)) if found.name == "zstandard" else module.zstd_version
    return f"zstd {found.name} libzstd-{version} level {ZSTD_LEVEL}"


def _zstd(name: str) -> zstd.Zstd:
    assert name == "zstd", name
    try:
        return zstd.find()
    except WorkerError as error:
        raise DriverError(str(error)) from None
