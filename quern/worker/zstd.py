"""Find what compresses and decompresses zstd here: a module of Python's, an installed one, or the zstd command."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import IO, Any, NamedTuple

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
def decompressed(file: IO[bytes]) -> Iterator[Any]:
    """What is in an open file, as a stream to be read once to its end. Raises ValueError for what is damaged."""
    found = find()
    if found.module is None:
        with _by_command(found.command, file) as stream:
            yield stream
        return
    try:
        with _reader(found, file) as stream:
            yield stream
    except found.module.ZstdError as error:
        raise ValueError(str(error)) from error


def _reader(found: Zstd, file: IO[bytes]) -> Any:  # noqa: ANN401 (a stream of one of two kinds)
    module: Any = found.module
    if found.name == "zstandard":
        return module.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return module.ZstdFile(file)


@contextmanager
def _by_command(command: str, file: IO[bytes]) -> Iterator[IO[bytes]]:
    import shutil
    import subprocess
    import tempfile

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
