"""quern.drivers.seccomp: which system calls confined commands may make."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from quern.drivers import seccomp
from quern.drivers.seccomp import AARCH64, CHECKED, DENIED, I386, UNSEEN, X86_64, Architecture, program

HEADERS = {
    X86_64: "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    I386: "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    AARCH64: "/usr/include/asm-generic/unistd.h",
}
ALLOWED = 0
VSOCK, MMAP_PAGE_ZERO = 40, 0x100000


def judged(code: bytes, architecture: Architecture, number: int | None, first: int = 0) -> int:
    """Run a filter as the kernel would: the error that a call gets, ALLOWED for none."""
    assert number is not None
    data = struct.pack("=IIQ6Q", number, architecture.audit, 0, first, 0, 0, 0, 0, 0)
    word = place = 0
    while True:
        opcode, if_true, if_false, constant = struct.unpack_from("=HBBI", code, place * 8)
        place += 1
        if opcode == seccomp.LOAD:
            (word,) = struct.unpack_from("=I", data, constant)
        elif opcode == seccomp.AND:
            word &= constant
        elif opcode == seccomp.JUMP:
            place += constant
        elif opcode == seccomp.RETURN:
            return ALLOWED if constant == seccomp.ALLOW else constant & 0xFFFF
        else:
            holds = word == constant if opcode == seccomp.IF_EQUAL else word >= constant
            place += if_true if holds else if_false


@pytest.mark.parametrize("architecture", [X86_64, I386, AARCH64])
def test_every_call(architecture: Architecture) -> None:
    both = program([X86_64, I386] if architecture != AARCH64 else [AARCH64])
    denied = {numbers[architecture.column]: errno.EPERM for numbers in DENIED.values()}
    denied |= {numbers[architecture.column]: errno.ENOSYS for numbers in UNSEEN.values()}
    expected = [denied.get(number, ALLOWED) for number in range(470)] + [errno.ENOSYS] * 30
    assert [judged(both, architecture, number) for number in range(500) if number not in _checked(architecture)] == [
        error for number, error in enumerate(expected) if number not in _checked(architecture)
    ]


def _checked(architecture: Architecture) -> set[int | None]:
    return {numbers[architecture.column] for numbers in CHECKED.values()}


@pytest.mark.parametrize("architecture", [X86_64, I386, AARCH64])
def test_arguments(architecture: Architecture) -> None:
    code = program([architecture])
    socket, clone, personality = (CHECKED[name][architecture.column] for name in ("socket", "clone", "personality"))
    families = {first: judged(code, architecture, socket, first) for first in range(50)}
    assert [first for first, error in families.items() if error == ALLOWED] == [1, 2, 10, 16]
    assert {error for error in families.values() if error} == {errno.EAFNOSUPPORT}
    assert judged(code, architecture, socket, 1 << 32 | VSOCK) == errno.EAFNOSUPPORT  # the kernel takes the lower half
    for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert judged(code, architecture, clone, flag | 17) == errno.EPERM
    assert judged(code, architecture, clone, 0x3D0F00) == ALLOWED  # a thread, as pthread_create(3) makes one
    for value in (0, 8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF):
        assert judged(code, architecture, personality, value) == ALLOWED
    assert judged(code, architecture, personality, MMAP_PAGE_ZERO) == errno.EPERM


def test_other_architectures() -> None:
    assert judged(program([X86_64]), I386, 20) == errno.ENOSYS
    assert judged(program([X86_64]), X86_64, 0x40000000 + 39) == errno.ENOSYS  # x32
    assert program([]) == b""


@pytest.mark.parametrize("architecture", list(HEADERS))
def test_the_numbers_are_the_kernels(architecture: Architecture) -> None:
    """Calls that are later than the headers of this machine are not compared."""
    header = Path(HEADERS[architecture])
    if not header.is_file():
        pytest.skip(f"needs {header} (linux-libc-dev)")
    there = dict(re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text(), re.MULTILINE))
    for name, numbers in {**DENIED, **UNSEEN, **CHECKED}.items():
        number = numbers[architecture.column]
        if name in there or (number or 0) < 400:
            assert there.get(name) == (None if number is None else str(number)), name


def test_this_machine_has_a_filter() -> None:
    assert seccomp.encoded() or os.uname().machine not in ("x86_64", "aarch64")
    assert len(seccomp.encoded()) < 4096  # it is a word of a command line
