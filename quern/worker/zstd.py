"""Decompress zstd: by Python's module, else by the zstd command, as a builder image may have no such module."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from . import WorkerError

MODULES = ("compression.zstd", "backports.zstd")  # Python 3.14's own (PEP 784), and the same for older ones


def module() -> Any:  # noqa: ANN401 (one of two modules with the same interface)
    """Import the first of MODULES that is installed. Returns None if there is none."""
    for name in MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


@contextmanager
def decompressed(file: IO[bytes]) -> Iterator[Any]:
    """What is in an open file, as a stream to be read once to its end. Raises ValueError for what is damaged."""
    zstd = module()
    if zstd is None:
        with _by_command(file) as stream:
            yield stream
        return
    try:
        with zstd.ZstdFile(file) as stream:
            yield stream
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from error


@contextmanager
def _by_command(file: IO[bytes]) -> Iterator[IO[bytes]]:
    command = shutil.which("zstd")
    if command is None:
        raise WorkerError(
            "zstd cannot be unpacked: expected Python 3.14, its module backports.zstd or the zstd command here"
        )
    with tempfile.TemporaryFile() as packed:
        try:
            file.fileno()
        except (OSError, AttributeError):  # a member of a tar: the command reads nothing but files
            shutil.copyfileobj(file, packed)
            packed.seek(0)
            file = packed
        argv = [command, "--quiet", "--decompress", "--stdout"]
        with subprocess.Popen(argv, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            yield process.stdout
            is_whole = not process.stdout.read(1 << 20)  # of a tar the rest is filling; who wants no more gets no more
    if is_whole and process.returncode:
        raise ValueError(f"zstd stopped with status {process.returncode}")
