"""Where the loader of a program looks for libraries: ld.so(8) and ldconfig(8) of glibc, ldso/dynlink.c of musl.

What a program opens itself (dlopen(3)) is not followed, and of folders relative to where a program is started nothing
is known.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from . import WorkerError
from .elf import Elf
from .links import follow
from .rules import matches

NAME = re.compile(rb"ld-musl-(.+)\.so\.[0-9]+|ld(-linux[^/]*|64|-[0-9.]+)?\.so\.[0-9]+")  # of a loader's file
# Names that musl's loader takes for itself, whatever is on disk.
OF_MUSL = re.compile(rb"lib(c|pthread|rt|m|dl|util|xnet)\.")

_MUSL = (b"/lib", b"/usr/local/lib", b"/usr/lib")
# of a loader that does not say: what glibc's ports use (sysdeps/*/configure)
_GLIBC = (b"/lib64", b"/usr/lib64", b"/lib", b"/usr/lib", b"/lib32", b"/usr/lib32", b"/libx32", b"/usr/libx32")
# the folders that a glibc was configured with (elf/dl-load.c, system_dirs), one after the other in the file
_FOLDERS = re.compile(rb"(?:/(?:[\w.+-]+/)*lib[\w.+-]*/(?:[\w.+-]+/)*\0){2,}")
_CONFIGURATION, _CACHE = b"etc/ld.so.conf", b"etc/ld.so.cache"
_MOST = 1 << 23  # bytes: no loader and no list of folders is longer
_DEEPEST = 10  # files that include one another


class Loader(NamedTuple):
    """A loader by its name: the folders that it looks in for every program, in order, and what $LIB stands for."""

    name: bytes
    is_musl: bool
    folders: tuple[bytes, ...]
    lib: bytes = b"lib"


class Loaded(NamedTuple):
    """A program or library in memory: the path by which it was found, and what needed it (None: a program)."""

    path: bytes
    elf: Elf
    above: Loaded | None = None


def loader_of(root: bytes, interpreter: bytes) -> Loader:
    """The loader that a program names (PT_INTERP); one that is not there is as others of its name are."""
    base = os.path.basename(interpreter)
    name = NAME.fullmatch(base)
    if name and name[1]:
        prefix = b"/".join(interpreter.split(b"/")[:-2])
        text = _read(root, b"%s/etc/ld-musl-%s.path" % (prefix, name[1]))
        return Loader(base, True, _MUSL if text is None else tuple(filter(None, re.split(rb"[:\n]", text))))
    said = _FOLDERS.search(_read(root, interpreter) or b"")
    folders = tuple(said[0].replace(b"/\0", b"\0").strip(b"\0").split(b"\0")) if said else _GLIBC
    lib = folders[0].removeprefix(b"/usr").strip(b"/") if said else b"lib"
    return Loader(base, False, (*_of_cache(root), *folders), lib)


def folders(item: Loaded, loader: Loader, library_path: bytes) -> list[bytes]:
    """Where `loader` looks for what `item` needs, in order; `library_path` is LD_LIBRARY_PATH, maybe empty."""
    chain = [item]
    while chain[-1].above is not None:
        chain.append(chain[-1].above)
    given = _paths(item, library_path.replace(b";", b":"), loader)
    if loader.is_musl:  # one path each, inherited from all that led there
        own = [path for each in chain for path in _paths(each, _either(each.elf), loader)]
        return [*given, *own, *loader.folders]
    inherited = [each for each in chain if each.elf.runpath is None] if item.elf.runpath is None else []
    above = [path for each in inherited for path in _paths(each, each.elf.rpath or b"", loader)]
    return [*above, *given, *_paths(item, item.elf.runpath or b"", loader), *loader.folders]


def _either(elf: Elf) -> bytes:
    return (elf.rpath if elf.runpath is None else elf.runpath) or b""


def _paths(item: Loaded, text: bytes, loader: Loader) -> Iterator[bytes]:
    """The absolute folders of a search path."""
    for part in text.split(b":"):
        folder = _filled(part, item, loader)
        if folder.startswith(b"/") and b"$" not in folder:
            yield folder


def expanded(name: bytes, item: Loaded, loader: Loader) -> bytes:
    """The name of what `item` needs: glibc fills in what is $ORIGIN in it as well."""
    return name if loader.is_musl else _filled(name, item, loader)


def _filled(text: bytes, item: Loaded, loader: Loader) -> bytes:
    """`text` with what $ORIGIN and, to glibc, $LIB stand for."""
    text = re.sub(rb"\$(ORIGIN|\{ORIGIN\})", lambda _: os.path.dirname(item.path), text)
    return text if loader.is_musl else re.sub(rb"\$(LIB|\{LIB\})", lambda _: loader.lib, text)


def _of_cache(root: bytes) -> list[bytes]:
    """The folders of ld.so.cache and ld.so.conf; none without the cache, for the loader reads nothing else."""
    cache = _read(root, _CACHE)
    if cache is None:
        return []
    named = re.findall(rb"\0(/[^\0]*)/[^\0/]*(?=\0)", cache)
    return list(dict.fromkeys([*configured(root), *named]))


def configured(root: bytes, name: bytes = _CONFIGURATION, depth: int = 0) -> Iterator[bytes]:
    """The folders that ld.so.conf and what it includes name, one a line (glibc, elf/ldconfig.c, parse_conf)."""
    for raw in (_read(root, name) or b"").split(b"\n"):
        line = raw.partition(b"#")[0].strip()
        word, *words = line.split() or [b""]
        if word == b"include" and words and depth < _DEEPEST:
            for pattern in words:
                for found in _matching(root, os.path.join(b"/", os.path.dirname(name), pattern)):
                    yield from configured(root, found, depth + 1)
        elif line.startswith(b"/"):
            yield line.partition(b"=")[0].rstrip()


def without_cache(root: bytes) -> list[bytes]:
    """The folders that ld.so.conf names and no loader looks in, because ldconfig(8) made no cache of them."""
    return [] if _read(root, _CACHE) is not None else list(configured(root))


def _matching(root: bytes, pattern: bytes) -> list[bytes]:
    try:
        return sorted(matches(root, pattern.decode("utf-8", "surrogateescape")))
    except WorkerError:  # no path below the root
        return []


def _read(root: bytes, name: bytes) -> bytes | None:
    """The content of a file of the image; None where there is none."""
    found = follow(root, name)
    if found.mode is None or not stat.S_ISREG(found.mode):
        return None
    try:
        descriptor = os.open(os.path.join(root, found.name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except PermissionError:  # an ordinary user's own file, of mode 0111 say
        return None
    with open(descriptor, "rb") as file:
        return file.read(_MOST)
