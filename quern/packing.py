"""Write a tree as a compressed tar: a worker reads the tree, this process compresses.

    worker pack (where the root can be read) ──plain tar──▶ sha256 ──▶ compressor ──▶ sha256 ──▶ file

The compressor is thus this Python's wherever the worker runs, and the key can name it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from quern.compress import Sink, compressor
from quern.drivers.base import Driver
from quern.errors import DriverError, naming


class Digested:
    """Counts and digests what goes by."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.size = 0
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Pass `data` on."""
        self.size += len(data)
        self._sha256.update(data)
        self.sink(data)

    @property
    def digest(self) -> str:
        """sha256:HEX of all that went by."""
        return f"sha256:{self._sha256.hexdigest()}"


def pack(driver: Driver, root: Path, target: Path, compression: str, epoch: int) -> dict[str, Any]:
    """Write the tree `root` to the new file `target`, and to the disk; `epoch` is in seconds.

    Returns {"digest", "size"} of the file, {"diff_id", "tar_size"} of the tar inside (as OCI image-spec calls it) and
    {"files"}, the number of entries. Raises QuernError, and OSError where `target` cannot be written; on an error an
    incomplete `target` is left.
    """
    with target.open("xb", buffering=0) as stream:

        def write(data: bytes) -> None:
            with naming(target):
                rest = memoryview(data)
                while rest:
                    rest = rest[stream.write(rest) :]

        output = Digested(write)
        with compressor(compression, output.write) as compressing:
            tar = Digested(compressing.write)
            answer = driver.stream("pack", tar.write, root=str(root), epoch=epoch)
            if tar.size != answer["size"]:
                raise DriverError(f"worker pack: {tar.size} of {answer['size']} bytes of {root} arrived; run it again")
        with naming(target):
            os.fsync(stream.fileno())
    return {
        "digest": output.digest,
        "size": output.size,
        "diff_id": tar.digest,
        "tar_size": tar.size,
        "files": answer["files"],
    }
