"""Linux namespaces by system calls: what of this machine a process can see, write to, and do.

Needs Linux 5.12, for mount_setattr(2); the C library need not know the calls. Their numbers are the same on every
architecture but Alpha, except for that of keyctl(2), which is older.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import fcntl
import os
import re
import socket
import stat
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from . import accounts
from .spellings import names

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 1 << 28, 1 << 29, 1 << 30
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 1, 4
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8  # the same for mount(2) and mount_setattr(2)
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
KEYCTL, KEYCTL_JOIN_SESSION_KEYRING = {("x86_64", 8): 250, ("x86_64", 4): 288, ("i686", 4): 288}, 1
KEYCTL_GENERIC = 219
CAPABILITY_VERSION = 0x20080522

# What root keeps: to give files owners and modes, to run as another user, and to make what can do no harm where no
# device can be opened and no file gives rights. Not DAC_READ_SEARCH, which opens files by handle: any of the disk.
KEPT = {
    "CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
    "SYS_CHROOT": 18, "MKNOD": 27, "SETFCAP": 31,
}  # fmt: skip

# what is for one boot, one session or one process is not shown: files, and sockets through which others do as they
# are told (docker's, say), for which a mount that cannot be written to is no obstacle
HIDDEN = {"/dev": 0o755, "/tmp": 0o1777, "/var/tmp": 0o1777, "/run": 0o755, "/var/run": 0o755}
SECRET = ("/proc/keys", "/proc/key-users")  # the keyrings of who has started this
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}

READ_ONLY = struct.pack("QQQQ", RDONLY, 0, 0, 0)  # attributes for mount_setattr(2)
HOSTNAME = b"localhost"

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(network: bool, identity: tuple[int, int] | None = None) -> None:
    """Leave this process's namespaces; its children are in a PID namespace, the first as process 1.

    An ordinary user stays who he is, in a user namespace: to what runs there it looks as it did before. With `identity`
    (uid, gid) he is that, and so is the owner of his files.
    """
    user, group = os.geteuid(), os.getegid()
    new_user, new_group = identity or (user, group)
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | (0 if network else CLONE_NEWNET)
    _check("unshare", _libc.unshare(flags | (CLONE_NEWUSER if user else 0)))
    if user:
        maps = {"setgroups": "deny", "uid_map": f"{new_user} {user} 1", "gid_map": f"{new_group} {group} 1"}
        for name, text in maps.items():
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    for name, value in (("sethostname", HOSTNAME), ("setdomainname", b"(none)")):  # the latter as the kernel has it
        _check(name, getattr(_libc, name)(value, len(value)))
    if not network:
        _raise_loopback()


def _raise_loopback() -> None:
    """Bring `lo` up: test suites talk to themselves (netdevice(7), SIOCSIFFLAGS, IFF_UP)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        fcntl.ioctl(anything, 0x8914, struct.pack("16sH22x", b"lo", 1))


class Seen(NamedTuple):
    """What is seen of this machine: see Reach in drivers/base.py; `shown` are [path, path there, writable]."""

    writable: list[str]
    readable: list[str]
    shown: list[tuple[str, str, bool]]
    hidden: list[str]


def arrange(seen: Seen, closed: Iterable[str]) -> None:
    """Make all mounts read-only but those that are to be written to, and hide HIDDEN but for what is to be read.

    `closed` are sockets to which nobody shall connect.
    """
    _set("/", propagation=MS_PRIVATE)
    hidden = {os.path.realpath(folder): mode for folder, mode in HIDDEN.items() if os.path.isdir(folder)}
    trees = {name: _copy(path, NOSUID | NODEV) for path in seen.writable for name in _names(path)}
    for path in seen.readable:
        if os.path.exists(path):
            names = {name for name in _names(path) if name not in trees and _below(name, hidden)}
            trees.update({name: _copy(path, RDONLY | NOSUID | NODEV) for name in names})
    trees.update(_devices())
    shown = {there: _copy(here, NOSUID | NODEV | (0 if own else RDONLY)) for here, there, own in seen.shown}
    covered = _covered(seen)
    _set("/", RDONLY | NOSUID | NODEV)
    for folder, mode in hidden.items():
        _mount("tmpfs", folder, NOSUID | NODEV, f"mode={mode:o}")
    _fill_dev()  # before: a work folder may be in /dev/shm
    _cover_etc()
    _attach_all(trees)
    for path in covered:
        if os.path.isdir(path):
            _mount("tmpfs", path, RDONLY | NOSUID | NODEV, "mode=755")
        elif os.path.isfile(path):  # a program: what looks for it in PATH passes over it, as it cannot be run
            _attach(_copy("/dev/null"), path)
    _attach_all(shown)
    for path in filter(_is_socket, closed):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # its owner has gone
            _attach(_copy("/dev/null"), path)
    _call("mount_setattr", MOUNT_SETATTR, AT_FDCWD, b"/dev", 0, READ_ONLY, len(READ_ONLY))
    _mount_proc()
    _hide_keyrings()


def _covered(seen: Seen) -> list[str]:
    """The folders and files that are hidden one by one: what is written to or read must not be in them."""
    used = {os.path.realpath(path) for path in (*seen.writable, *seen.readable)}
    folders = [os.path.realpath(path) for path in seen.hidden]
    return [folder for folder in folders if folder not in used and not any(_below(path, [folder]) for path in used)]


def _attach_all(trees: Mapping[str, int]) -> None:
    for path, tree in sorted(trees.items()):  # what is inside another one comes later
        _make_like(path, tree)
        _attach(tree, path)


def enter(root: str, shown: str, at: str, folders: Iterable[str]) -> None:
    """Make the tree `root` this process's `/`, with devices, processes, and the folder `shown` at the path `at`.

    What is shown is read-only, and nothing if `at` is empty; `folders` are made where there are none. Of the rest of
    this machine nothing is left to be seen, nor to be imported.
    """
    _set("/", propagation=MS_PRIVATE)
    devices = _devices()
    brought = _copy(shown, RDONLY | NOSUID | NODEV) if at else None
    processes = _copy("/proc", RDONLY | NOSUID | NODEV | NOEXEC)
    tree = _copy(root, NOSUID | NODEV)
    _set("/", RDONLY)  # until it is gone, a link in the tree may lead there
    _attach(tree, root)
    os.chdir(root)
    _check("pivot_root", _libc.pivot_root(b".", b"."))  # the former root is upon it now (pivot_root(2))
    os.chdir("/")
    for folder in filter(None, ("/dev", "/proc", at, *folders)):
        os.makedirs(os.path.realpath(folder), exist_ok=True)  # a link may lead to where nothing is yet
    if brought is not None:
        _attach(brought, at)
    _mount("tmpfs", "/dev", NOSUID | NODEV, "mode=755")
    _fill_dev()
    for path, tree in devices.items():
        _make_like(path, tree)
        _attach(tree, path)
    if _mount_proc():
        os.close(processes)
    else:
        _attach(processes, "/proc")
    _hide_keyrings()
    _check("umount2", _libc.umount2(b".", MNT_DETACH), "/")  # the former one, which a user's new /proc needs


def _devices() -> dict[str, int]:
    """Copies of the machine's devices; read-only, by which no device is, but its mode: root could change it for all."""
    return {f"/dev/{name}": _copy(f"/dev/{name}", RDONLY | NOSUID | NOEXEC) for name in DEVICES}


def _names(path: str) -> list[str]:
    """What a folder is called in the end; where links below a hidden folder lead to it, their names as well."""
    *others, real = names(path)
    return [real, *(name for name in others if _below(name, HIDDEN))]


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def _copy(path: str, attributes: int = 0) -> int:
    """A copy of the mounts at `path`, attached nowhere, as a descriptor."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | AT_RECURSIVE
    tree = _call("open_tree", OPEN_TREE, AT_FDCWD, os.fsencode(path), flags, about=path)
    if attributes:
        _set("", attributes, tree)
    return tree


def _attach(tree: int, path: str) -> None:
    _call("move_mount", MOVE_MOUNT, tree, b"", AT_FDCWD, os.fsencode(path), MOVE_MOUNT_F_EMPTY_PATH, about=path)
    os.close(tree)


def _set(path: str, attributes: int = 0, tree: int = AT_FDCWD, propagation: int = 0) -> None:
    """mount_setattr(2) for everything that is mounted there."""
    values = struct.pack("QQQQ", attributes, 0, propagation, 0)
    flags = AT_RECURSIVE | (0 if path else AT_EMPTY_PATH)
    _call("mount_setattr", MOUNT_SETATTR, tree, os.fsencode(path), flags, values, len(values), about=path)


def _make_like(path: str, tree: int) -> None:
    """Make the file or folder that a mount is to cover, where there is none: in what has been hidden."""
    if os.path.lexists(path):
        return
    is_folder = stat.S_ISDIR(os.fstat(tree).st_mode)
    os.makedirs(path if is_folder else os.path.dirname(path), mode=0o755, exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _fill_dev() -> None:
    """What programs expect in /dev besides the devices."""
    for name, target in LINKS.items():
        os.symlink(target, f"/dev/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"/dev/{name}")
    _mount("devpts", "/dev/pts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    _mount("tmpfs", "/dev/shm", NOSUID | NODEV, "mode=1777")


def _cover_etc() -> None:
    """Show files of our own in place of those of /etc that say whose machine it is (accounts.py)."""
    os.mkdir(accounts.PLACE)
    _mount("tmpfs", accounts.PLACE, NOSUID | NODEV | NOEXEC, "mode=755")
    for name, text in accounts.covers().items():
        own, path = f"{accounts.PLACE}/{name}", os.path.realpath(f"/etc/{name}")  # a link may lead to what is hidden
        if os.path.isfile(path):
            accounts.write(accounts.PLACE, {name: text})
            _attach(_copy(own, RDONLY | NOSUID | NODEV | NOEXEC), path)


def _mount_proc() -> bool:
    """The /proc of this PID namespace, if it can be; not to be written to, because root could: /proc/sys has the
    machine's settings.

    In a container that hides parts of its own, a user namespace gets none of these. The old one stays, in which
    others' processes are seen; neither they nor their files can be reached through it.
    """
    try:
        _mount("proc", "/proc", RDONLY | NOSUID | NODEV | NOEXEC, "")
    except PermissionError:
        return False
    return True


def _hide_keyrings() -> None:
    """Cover the lists of keys: they name those of who has started this."""
    for path in filter(os.path.exists, SECRET):
        _attach(_copy("/dev/null"), path)


def own_descriptors() -> None:
    """Close all descriptors but the standard ones, and open /dev/null anew where one of these is the machine's.

    Through a descriptor root could change mode and times of the machine's, whatever is mounted in its place. Pipes, and
    terminals that were made for this command, may be changed.
    """
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # that of the list itself
                os.close(int(name))
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in range(3):
        with contextlib.suppress(OSError):  # closed
            status = os.fstat(descriptor)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(null).st_rdev:
                os.dup2(null, descriptor)
    os.close(null)


def close_to_others() -> None:
    """Have /proc show nothing that this process and its children hold, until they run another program.

    Their program, folder and descriptors are from before the mounts that protect them (proc(5), PR_SET_DUMPABLE).
    """
    _check("prctl", _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))


def restrict(program: str) -> None:
    """Give up all rights but those that root needs to build, the keyrings, and system calls, for good.

    `program` is a seccomp filter in base64, an array of struct sock_filter; empty for none.
    """
    _leave_keyring()
    kept = KEPT.values() if os.geteuid() == 0 else ()
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    for number in set(range(last + 1)).difference(kept):
        _check("prctl", _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0))
    header, sets = struct.pack("Ii", CAPABILITY_VERSION, 0), ctypes.create_string_buffer(24)
    _check("capget", _libc.capget(header, sets))
    held = struct.unpack("IIIIII", sets.raw)[1] & sum(1 << number for number in kept)
    _check("capset", _libc.capset(header, struct.pack("IIIIII", held, held, 0, 0, 0, 0)))
    _check("prctl", _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if code := base64.b64decode(program):
        instructions = ctypes.create_string_buffer(code, len(code))
        described = struct.pack("HP", len(code) // 8, ctypes.addressof(instructions))  # struct sock_fprog
        _check("prctl", _libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0))


def _leave_keyring() -> None:
    """Join a new session keyring: what the kernel itself looks for is not looked for in the caller's (keyrings(7)).

    Where there are no keyrings, or no more to be had, the filter alone keeps them closed.
    """
    number = KEYCTL.get((os.uname().machine, struct.calcsize("P")), KEYCTL_GENERIC)
    try:
        _call("keyctl", number, KEYCTL_JOIN_SESSION_KEYRING, 0)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EDQUOT):
            raise


def end_with_parent(number: int) -> None:
    """Ask the kernel for a signal when the parent is gone, however it went."""
    _check("prctl", _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0))


def sockets() -> list[str]:
    """The files at which processes of this network namespace hear others (/proc/net/unix, proc(5))."""
    with open("/proc/net/unix", "rb") as table:
        found = re.findall(rb"^(?:\S+ +){7}(/.*)$", table.read(), re.MULTILINE)
    paths = {os.fsdecode(path) for path in found}
    for folder in {os.path.dirname(path) for path in paths if not os.path.lexists(path)}:  # renamed since: ssh does so
        with contextlib.suppress(OSError):
            paths.update(entry.path for entry in os.scandir(folder) if not entry.is_file() and not entry.is_dir())
    return sorted(paths)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _mount(kind: str, target: str, flags: int, options: str) -> None:
    text = (kind.encode(), os.fsencode(target), kind.encode())
    _check("mount", _libc.mount(*text, ctypes.c_ulong(flags), options.encode() or None), target)


def _call(name: str, number: int, *arguments: int | bytes, about: str = "") -> int:
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(name, _libc.syscall(ctypes.c_long(number), *words), about)


def _check(name: str, result: int, about: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about or None)
    return result
