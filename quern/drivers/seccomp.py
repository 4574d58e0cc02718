"""The system calls that confined commands may not make, as a seccomp filter for the worker to install.

Confined commands may do what docker's default profile lets a container's do without privileges: no keyrings of the
caller, no BPF, no kernel modules, no mounts or further namespaces, no sockets but those of the network and of Unix. The
filter is a classic BPF program (seccomp(2), linux/filter.h); the numbers are those of the kernel's asm/unistd*.h.
"""

from __future__ import annotations

import base64
import errno
import os
import struct
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

# struct seccomp_data: the call, the architecture it is made for, its first argument (the lower half of 64 bits)
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16
# opcodes of linux/bpf_common.h, for 32-bit words and constants
LOAD, AND, JUMP, IF_EQUAL, IF_AT_LEAST, RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO

LATEST = 469  # file_setattr(2); of a later call nobody knows yet what it can do. x32 has its calls above 2^30

NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET
FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: the others reach past a network namespace
# PER_LINUX32, UNAME26 and ADDR_NO_RANDOMIZE, which some compilers set for themselves; 0xFFFFFFFF only asks
PERSONALITIES, ASK = 0x60008, 0xFFFFFFFF

# the numbers on x86_64, i386, and the architectures that share asm-generic/unistd.h; None where there is no such call
DENIED: dict[str, tuple[int | None, int | None, int | None]] = {
    "add_key": (248, 286, 217),
    "request_key": (249, 287, 218),
    "keyctl": (250, 288, 219),
    "bpf": (321, 357, 280),
    "perf_event_open": (298, 336, 241),
    "userfaultfd": (323, 374, 282),
    "io_uring_setup": (425, 425, 425),  # by which sockets are made that no filter sees
    "io_uring_enter": (426, 426, 426),
    "io_uring_register": (427, 427, 427),
    "kexec_load": (246, 283, 104),
    "kexec_file_load": (320, None, 294),
    "init_module": (175, 128, 105),
    "finit_module": (313, 350, 273),
    "delete_module": (176, 129, 106),
    "open_by_handle_at": (304, 342, 265),
    "mount": (165, 21, 40),
    "umount": (None, 22, None),
    "umount2": (166, 52, 39),
    "pivot_root": (155, 217, 41),
    "unshare": (272, 310, 97),
    "setns": (308, 346, 268),
    "open_tree": (428, 428, 428),
    "move_mount": (429, 429, 429),
    "fsopen": (430, 430, 430),
    "fsconfig": (431, 431, 431),
    "fsmount": (432, 432, 432),
    "fspick": (433, 433, 433),
    "mount_setattr": (442, 442, 442),
    "open_tree_attr": (467, 467, 467),
    "fanotify_init": (300, 338, 262),
    "swapon": (167, 87, 224),
    "swapoff": (168, 115, 225),
    "reboot": (169, 88, 142),
    "acct": (163, 51, 89),
    "quotactl": (179, 131, 60),
    "quotactl_fd": (443, 443, 443),
    "settimeofday": (164, 79, 170),
    "clock_settime": (227, 264, 112),
    "clock_settime64": (None, 404, 404),
    "stime": (None, 25, None),
    "iopl": (172, 110, None),
    "ioperm": (173, 101, None),
    "vm86": (None, 166, None),
    "vm86old": (None, 113, None),
    "syslog": (103, 103, 116),
    "vhangup": (153, 111, 58),
    "uselib": (134, 86, None),
}
# calls whose arguments no filter sees: what a C library does where the kernel does not have them can be seen
UNSEEN = {"clone3": (435, 435, 435), "socketcall": (None, 102, None)}
CHECKED = {"socket": (41, 359, 198), "clone": (56, 120, 220), "personality": (135, 136, 92)}


class Architecture(NamedTuple):
    """One that a process may make calls for: AUDIT_ARCH_* of linux/audit.h, and the column of its numbers."""

    audit: int
    column: int


X86_64, I386 = Architecture(0xC000003E, 0), Architecture(0x40000003, 1)
AARCH64, RISCV64, LOONGARCH64 = (Architecture(audit, 2) for audit in (0xC00000B7, 0xC00000F3, 0xC0000102))
# by uname(2)'s machine, which is i686 for what runs with PER_LINUX32
MACHINES = {
    "x86_64": (X86_64, I386),
    "i686": (X86_64, I386),
    "aarch64": (AARCH64,),
    "riscv64": (RISCV64,),
    "loongarch64": (LOONGARCH64,),
}


class Instruction(NamedTuple):
    """struct sock_filter: opcode, how many instructions to skip if true and if false, a constant."""

    code: int
    constant: int
    if_true: int = 0
    if_false: int = 0


@cache
def encoded() -> str:
    """The filter for this machine, in base64; empty for a machine whose numbers are not known here."""
    return base64.b64encode(program(MACHINES.get(os.uname().machine, ()))).decode()


def program(architectures: Sequence[Architecture]) -> bytes:
    """The filter for processes of these `architectures`, an array of struct sock_filter; no call of another is made."""
    if not architectures:
        return b""
    code = [Instruction(LOAD, ARCHITECTURE)]
    for each in architectures:
        section = _section(each.column)
        code += [Instruction(IF_EQUAL, each.audit, if_true=1), Instruction(JUMP, len(section)), *section]
    code.append(_fail(errno.ENOSYS))
    return b"".join(struct.pack("=HBBI", each.code, each.if_true, each.if_false, each.constant) for each in code)


def _section(column: int) -> list[Instruction]:
    """What becomes of the calls of one architecture."""
    code = [Instruction(LOAD, NUMBER), Instruction(IF_AT_LEAST, LATEST + 1, if_false=1), _fail(errno.ENOSYS)]
    for calls, error in ((DENIED, errno.EPERM), (UNSEEN, errno.ENOSYS)):
        for numbers in calls.values():
            code += _if_call(numbers[column], [_fail(error)])
    checks = {"socket": _check_socket(), "clone": _check_clone(), "personality": _check_personality()}
    for name, check in checks.items():
        code += _if_call(CHECKED[name][column], [Instruction(LOAD, FIRST), *check])
    return [*code, Instruction(RETURN, ALLOW)]


def _if_call(number: int | None, then: list[Instruction]) -> list[Instruction]:
    """`then`, which must end in a return, for one call."""
    return [] if number is None else [Instruction(IF_EQUAL, number, if_false=len(then)), *then]


def _check_socket() -> list[Instruction]:
    known = [Instruction(IF_EQUAL, family, if_true=len(FAMILIES) - n) for n, family in enumerate(FAMILIES)]
    return [*known, _fail(errno.EAFNOSUPPORT), Instruction(RETURN, ALLOW)]


def _check_clone() -> list[Instruction]:
    return [Instruction(AND, NAMESPACES), *_only_if_zero()]


def _check_personality() -> list[Instruction]:
    asked = [Instruction(IF_EQUAL, ASK, if_false=1), Instruction(RETURN, ALLOW)]
    return [*asked, Instruction(AND, ~PERSONALITIES & 0xFFFFFFFF), *_only_if_zero()]


def _only_if_zero() -> list[Instruction]:
    return [Instruction(IF_EQUAL, 0, if_false=1), Instruction(RETURN, ALLOW), _fail(errno.EPERM)]


def _fail(error: int) -> Instruction:
    return Instruction(RETURN, ERROR | error)
