"""Trees with everything a tar has trouble with, for several tests."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quern.drivers.raw import RawDriver
from quern.packing import pack
from quern.worker import zstd

# struct vfs_cap_data of linux/capability.h: revision 2, effective; permitted CAP_NET_BIND_SERVICE; has NULs in it
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")

ZSTD: Any = zstd.module()


def make_tree(top: Path) -> Path:
    """Files of every kind an ordinary user can make, below `top`, which must not exist; returns `top`."""
    top.mkdir(mode=0o755)
    for name in ("usr/bin", "usr/lib", "var/empty", "a" * 120 + "/" + "b" * 120, "a-b"):
        (top / name).mkdir(parents=True)
    for name, size in (("usr/bin/tool", 3_000_000), ("usr/lib/empty", 0), ("usr/lib/one", 512), ("usr/lib/two", 513)):
        (top / name).write_bytes(bytes(index * 7 % 251 for index in range(size)))
    (top / "usr/bin/tool").chmod(0o4711 if os.geteuid() == 0 else 0o4755)
    os.link(top / "usr/bin/tool", top / "usr/bin/alias")
    (top / "lib").symlink_to("usr/lib")
    (top / ("a" * 120) / ("b" * 120) / ("c" * 200)).write_text("long")
    (top / ("l" * 150)).symlink_to("t" * 150)
    (top / "späce\nand newline").write_text("odd")
    with open(os.fsencode(top) + b"/\xff\xfe", "wb") as stream:
        stream.write(b"not UTF-8")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(top, os.O_PATH)
        server.bind(f"/proc/self/fd/{here}/socket")  # a path of any length
        os.close(here)
    (top / "var/empty").chmod(0o555)
    return top


def add_special(top: Path) -> None:
    """What only root can make: devices, another owner, a file capability."""
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 70000))
    os.chown(top / "usr/lib/one", 70, 3_000_000)
    os.setxattr(top / "usr/lib/two", "security.capability", CAPABILITY)


def copy_tree(source: Path, target: Path) -> None:
    """Make a real copy of a tree, with all that cp(1) can keep."""
    subprocess.run(["cp", "-a", source, target], check=True)


def packed(tree: Path, target: Path, compression: str, epoch: int) -> dict[str, Any]:
    """Pack a tree on this machine; `quern.packing.pack` says what is returned."""
    return pack(RawDriver(), tree, target, compression, epoch)


def without_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `zstd.module` find none."""
    for name in zstd.MODULES:
        monkeypatch.setitem(sys.modules, name, None)
