"""What an ELF file asks its loader for: elf(5), and the System V gABI, chapter 5."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAGIC = b"\x7fELF"
_EXECUTABLE, _SHARED = 2, 3  # e_type
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # p_type
_NULL, _NEEDED, _STRINGS, _STRINGS_SIZE, _SONAME, _RPATH, _RUNPATH = 0, 1, 5, 10, 14, 15, 29  # d_tag
_MOST = 1 << 24  # bytes: no dynamic section or table of strings is longer, but a hostile file may say so


class Elf(NamedTuple):
    """A program or shared library.

    `kind` is word size, byte order and machine: only the same go together. `rpath` and `runpath` are search paths as
    they are in the file, $ORIGIN and all; None: there is none.
    """

    kind: tuple[int, int, int]
    interpreter: bytes | None
    needed: tuple[bytes, ...] = ()
    soname: bytes | None = None
    rpath: bytes | None = None
    runpath: bytes | None = None


class _Dynamic(NamedTuple):
    """What a dynamic section says; the fields are those of `Elf`."""

    needed: tuple[bytes, ...] = ()
    soname: bytes | None = None
    rpath: bytes | None = None
    runpath: bytes | None = None


class _Segment(NamedTuple):
    kind: int
    offset: int
    address: int
    size: int


def read(file: BinaryIO) -> Elf | None:
    """What the file asks for; None if it is no program or library, or a damaged one."""
    try:
        return _read(file)
    except (struct.error, ValueError, OverflowError):
        return None


def _read(file: BinaryIO) -> Elf | None:
    head = _at(file, 0, 64)
    if not head.startswith(MAGIC) or head[4:5] not in (b"\1", b"\2") or head[5:6] not in (b"\1", b"\2"):
        return None
    order = "<" if head[5] == 1 else ">"
    kind, machine = struct.unpack_from(f"{order}HH", head, 16)
    if kind not in (_EXECUTABLE, _SHARED):
        return None
    segments = list(_segments(file, head, order))
    interpreter: bytes | None = None
    asked = _Dynamic()
    for segment in segments:
        if segment.kind == _INTERPRETER:
            interpreter = _at(file, segment.offset, segment.size).rstrip(b"\0")
        elif segment.kind == _DYNAMIC:
            asked = _dynamic(file, segment, segments, f"{order}{'QQ' if head[4] == 2 else 'II'}")
    return Elf((head[4], head[5], machine), interpreter, *asked)


def _segments(file: BinaryIO, head: bytes, order: str) -> Iterator[_Segment]:
    wide = head[4] == 2
    (start,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
    size, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    table = _at(file, start, size * count)
    for place in range(0, size * count, size):
        if wide:
            kind, _, offset, address, _, length = struct.unpack_from(f"{order}IIQQQQ", table, place)
        else:
            kind, offset, address, _, length = struct.unpack_from(f"{order}IIIII", table, place)
        yield _Segment(kind, offset, address, length)


def _dynamic(file: BinaryIO, dynamic: _Segment, segments: list[_Segment], form: str) -> _Dynamic:
    data = _at(file, dynamic.offset, dynamic.size)
    data = data[: len(data) // struct.calcsize(form) * struct.calcsize(form)]
    needed, values = [], {}
    for tag, value in struct.iter_unpack(form, data):
        if tag == _NULL:
            break
        if tag == _NEEDED:
            needed.append(value)
        values[tag] = value
    if not needed and not values.keys() & {_SONAME, _RPATH, _RUNPATH}:
        return _Dynamic()
    strings = _at(file, _offset(values.get(_STRINGS, 0), segments), values.get(_STRINGS_SIZE, 0))

    def string(start: int) -> bytes:
        return strings[start : strings.index(b"\0", start)]

    named = (string(values[tag]) if tag in values else None for tag in (_SONAME, _RPATH, _RUNPATH))
    return _Dynamic(tuple(map(string, needed)), *named)


def _offset(address: int, segments: list[_Segment]) -> int:
    """Where in the file is what will be at `address`."""
    for segment in segments:
        if segment.kind == _LOAD and segment.address <= address < segment.address + segment.size:
            return address - segment.address + segment.offset
    raise ValueError(address)


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(min(size, _MOST))
