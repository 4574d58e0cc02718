"""Compressors that give the same bytes for the same input, whatever the number of cores and the size of the pieces.

`compressor(name, sink)` is a context manager with `write(data)`; leaving it without an error writes the end.
"""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from quern.errors import DriverError
from quern.worker import zstd

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
        """Let threads go, finished or not."""

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


class Zstd(Compressor):
    """zstd in one thread: with more the bytes are others."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(sink)
        module = zstd_module()
        name = module.CompressionParameter
        self.stream = module.ZstdCompressor(options={name.compression_level: ZSTD_LEVEL, name.checksum_flag: 1})

    def block(self, data: bytes) -> None:
        self.sink(self.stream.compress(data))

    def finish(self, data: bytes) -> None:
        self.block(data)
        self.sink(self.stream.flush())


COMPRESSORS = {"gzip": Gzip, "zstd": Zstd}


def compressor(name: str, sink: Sink) -> Compressor:
    """The compressor called `name` in the configuration, writing to `sink`. Raises DriverError if there is none."""
    return COMPRESSORS[name](sink)


def identity(name: str) -> str:
    """What decides on the bytes besides the input: library, version, level. Part of the tarball's key.

    Raises DriverError if there is no such library.
    """
    if name == "gzip":
        return f"gzip zlib-{zlib.ZLIB_RUNTIME_VERSION} level {GZIP_LEVEL} block {BLOCK}"
    module = zstd_module()
    return f"zstd {module.__name__} libzstd-{module.zstd_version} level {ZSTD_LEVEL}"


def zstd_module() -> Any:  # noqa: ANN401 (see zstd.module)
    """The module that packs and unpacks zstd here. Raises DriverError if this Python has none."""
    module = zstd.module()
    if module is None:
        raise DriverError("this Python cannot pack or unpack zstd: `pip install backports.zstd` brings it up to 3.13")
    return module
