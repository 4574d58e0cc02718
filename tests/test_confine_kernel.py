"""What a confined command can reach besides files: what other processes hold, keyrings, system calls."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.drivers import confinement
from quern.drivers.base import Reach
from quern.drivers.confinement import obstacle
from tests.test_confine import AS_USER, USER

Confined = Callable[..., tuple[int, str]]


@pytest.fixture(params=["root", "user"])
def confined_by(request: pytest.FixtureRequest, tmp_path: Path) -> Confined:
    """Runs a command confined, as root or an ordinary user, in the folder `own`; gives its status and output."""
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")
    if os.geteuid() != 0 and request.param == "root":
        pytest.skip("only root can do this")
    own, worker = tmp_path / "own", tmp_path / "worker"
    own.mkdir()
    prefix: tuple[str, ...] = ()
    shutil.copytree(confinement.WORKER, worker, ignore=shutil.ignore_patterns("__pycache__"))
    if request.param == "user" and os.geteuid() == 0:
        prefix = AS_USER
        os.chown(own, USER, USER)
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == 0:
                parent.chmod(parent.stat().st_mode | 0o001)  # pytest's own folders are 0700

    def run(*argv: str) -> tuple[int, str]:
        words = confinement.confined(argv, Reach([own]), own, "/usr/bin/python3")
        words[0], words[words.index(str(confinement.WORKER))] = "/usr/bin/python3", str(worker)
        ran = subprocess.run(
            [*prefix, *words],
            cwd=own,
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return ran.returncode, ran.stdout

    return run


HELD = """
for file in /proc/[0-9]*/fd/* /proc/self/fd/*; do
    test -p "$file" && continue
    touch -d 2001-01-01 "$file" 2>/dev/null && echo "$file"
done
chmod --reference=/usr/bin/env /proc/1/exe 2>/dev/null && echo program
for folder in /proc/[0-9]*; do
    test -S "$folder/cwd/../socket" && echo "$folder/cwd"
done
echo over
"""


def test_what_process_1_holds(confined_by: Confined, tmp_path: Path) -> None:
    """Not the machine's /dev/null, not the program that began before its mounts could not be written to, no folder."""
    before = os.stat("/dev/null").st_mtime_ns
    with socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind(str(tmp_path / "socket"))
        assert confined_by("sh", "-c", HELD) == (0, "over\n")
    assert os.stat("/dev/null").st_mtime_ns == before


def test_descriptors_that_are_handed_in(confined_by: Confined) -> None:
    """Standard streams: what a command is given that is the machine's is opened anew; pipes are the command's own."""
    listed = confined_by("/usr/bin/python3", "-I", "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))")
    assert listed == (0, "['0', '1', '2', '3']\n")
    status, said = confined_by("/usr/bin/python3", "-I", "-c", "import os; os.fchmod(0, 0o666)")
    assert (status, said.splitlines()[-1]) == (1, "OSError: [Errno 30] Read-only file system")


# system calls by number, through ctypes; `mov eax, keyctl; int 0x80` is how a 32-bit program of i386 does it
CALLS = """
import ctypes, errno, mmap, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    print(number, errno.errorcode[ctypes.get_errno()] if result < 0 else "done")
for number in (248, 250, 272, 298, 304, 321, 323, 425, 435, 470, 500, 0x40000000 + 39, 39):
    call(number, 0, 0, 0, 0, 0)
call(135, 0xFFFFFFFF)
call(135, 0x40000)
call(135, 0x100000)
for family in (1, 2, 10, 16, 17, 38, 40):
    try:
        socket.socket(family, socket.SOCK_RAW if family == 16 else socket.SOCK_STREAM).close()
        print("family", family, "done")
    except OSError as error:
        print("family", family, errno.errorcode[error.errno])
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# push rbx; mov eax, 288; xor ebx, ebx; int 0x80; pop rbx; ret
page.write(b"\\x53\\xb8\\x20\\x01\\x00\\x00\\x31\\xdb\\xcd\\x80\\x5b\\xc3")
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print("i386", errno.errorcode[-ctypes.CFUNCTYPE(ctypes.c_int)(address)()])
"""
EXPECTED = """\
248 EPERM
250 EPERM
272 EPERM
298 EPERM
304 EPERM
321 EPERM
323 EPERM
425 EPERM
435 ENOSYS
470 ENOSYS
500 ENOSYS
1073741863 ENOSYS
39 done
135 done
135 done
135 EPERM
family 1 done
family 2 done
family 10 done
family 16 done
family 17 EAFNOSUPPORT
family 38 EAFNOSUPPORT
family 40 EAFNOSUPPORT
i386 EPERM
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers and machine code are those of x86_64")
def test_a_confined_command(confined_by: Confined) -> None:
    """What the kernel answers, and that what builds need goes on: threads, children, a debugger."""
    assert confined_by("/usr/bin/python3", "-I", "-S", "-c", CALLS) == (0, EXPECTED)
    script = "import subprocess, threading, time; t = threading.Thread(target=print); t.start(); t.join()"
    assert confined_by("/usr/bin/python3", "-I", "-c", script) == (0, "\n")
    if Path("/usr/bin/strace").exists():
        assert confined_by("/usr/bin/strace", "-o", "/dev/null", "true") == (0, "")


def test_keyrings_of_the_caller(confined_by: Confined) -> None:
    """A key of the session is neither found nor listed. keyctl(1) asks the kernel for all that is known."""
    if not Path("/usr/bin/keyctl").exists():
        pytest.skip("needs keyctl (keyutils)")
    made = subprocess.run(["keyctl", "add", "user", "quern-test", "x", "@u"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"needs keyrings: {made.stderr.strip()}")
    try:
        _, said = confined_by("sh", "-c", "keyctl search @u user quern-test; keyctl show @s; cat /proc/keys")
        assert "quern-test" not in said
        assert "keyring" not in said.replace("Session Keyring", "")
        assert confined_by("keyctl", "update", made.stdout.strip(), "changed")[0] != 0
    finally:
        subprocess.run(["keyctl", "unlink", made.stdout.strip(), "@u"], check=True)
