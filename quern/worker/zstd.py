"""Find what compresses and decompresses zstd here: a module of Python's, an installed one, or the zstd command."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NamedTuple

from . import WorkerError

MODULES = ("compression.zstd", "backports.zstd", "zstandard")  # Python 3.14's own, the same for older ones, another


class Zstd(NamedTuple):
    """`module`, which is called `name`; or, with the name "command", the path of the zstd command."""

    name: str
    module: ModuleType | None = None
    command: str = ""


def find() -> Zstd:
    """The first of MODULES that can be imported, else the zstd command. Raises WorkerError if there is neither."""
    for name in MODULES:
        try:
            return Zstd(name, importlib.import_module(name))
        except ImportError:
            continue
    import shutil  # here and below: find() is asked at every run of doit

    command = shutil.which("zstd")
    if command is None:
        raise WorkerError(
            "compression zstd needs the Python module zstandard (pip install 'quern-builder[zstd]') "
            "or the zstd command (Debian package zstd); neither is here"
        )
    return Zstd("command", command=command)


@contextmanager
def decompressed(path: str) -> Iterator[Any]:
    """What is in the file at `path`, as a stream to be read once to its end. Raises WorkerError if zstd fails."""
    found = find()
    if found.module is None:
        import subprocess

        argv = [found.command, "--quiet", "--decompress", "--stdout", path]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            yield process.stdout
            process.communicate()  # to its end, which tar does not need
        if process.returncode:
            raise WorkerError(f"zstd stopped with status {process.returncode}")
    elif found.name == "zstandard":
        with open(path, "rb") as file, found.module.ZstdDecompressor().stream_reader(file) as stream:
            yield stream
    else:
        with found.module.open(path) as stream:
            yield stream
