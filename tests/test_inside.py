"""quern.worker.inside: a command in a tree that is all there is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.drivers import seccomp
from quern.drivers.confinement import WORKER, obstacle
from quern.worker import WorkerError
from quern.worker.inside import User, identity
from tests.conftest import needs_root, tool
from tests.projects import write
from tests.test_confine import AS_USER, USER
from tests.trying import compiled

ACCOUNTS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nbroken:x\napp:x:7:8:::/bin/sh\n"
    "huge:x:9999999999:1:::\nodd:x:\u00b2:1:::\n",
    "etc/group": "root:x:0:\nweb:x:9:app,other\nmail:x:10:app\n",
}
Inside = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", User(0, 0, [], "/root")),
        ("app", User(7, 8, [9, 10], "/")),
        ("7", User(7, 8, [9, 10], "/")),
        ("app:web", User(7, 9, [], "/")),
        ("12:13", User(12, 13, [], "/")),
        ("12", User(12, 0, [], "/")),
        ("2147483647", User((1 << 31) - 1, 0, [], "/")),
    ],
)
def test_users(tmp_path: Path, text: str, expected: User) -> None:
    assert identity(str(write(tmp_path, ACCOUNTS)), text) == expected


@pytest.mark.parametrize(
    "text", ["nobody", "app:nobody", "broken", "huge", "odd", "2147483648", "1:2147483648", "9" * 5000, "\u00b2"]
)
def test_users_that_there_are_not(tmp_path: Path, text: str) -> None:
    with pytest.raises(WorkerError, match=f"user = {text}: the image's"):
        identity(str(write(tmp_path, ACCOUNTS)), text)
    assert identity(str(tmp_path / "empty"), "") == User(0, 0, [], "/")


def test_accounts_that_lead_elsewhere(tmp_path: Path) -> None:
    """Out of the tree, to what has no end, or to what nobody writes to."""
    elsewhere, root = write(tmp_path / "elsewhere", ACCOUNTS), tmp_path / "root/etc"
    root.mkdir(parents=True)
    passwd = root / "passwd"
    for target in (elsewhere / "etc/passwd", Path("/dev/zero"), None):
        if target:
            passwd.symlink_to(target)
        else:
            os.mkfifo(passwd)
        with pytest.raises(WorkerError, match="user = app: the image's"):
            identity(str(root.parent), "app")
        passwd.unlink()


@pytest.fixture(params=["root", "user"])
def inside(request: pytest.FixtureRequest, tmp_path: Path) -> Inside:
    """Runs a script in a tree with nothing but an interpreter, by root or by an ordinary user; gives what it prints."""
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")
    if os.geteuid() != 0 and request.param == "root":
        pytest.skip("only root can do this")
    tool("gcc", "gcc")
    root = write(tmp_path / "root", ACCOUNTS)
    (root / "bin").mkdir()
    compiled(root / "bin/act")
    write(tmp_path, {"secret": "secret\n"})
    command = [sys.executable]
    if request.param == "user":
        shutil.copytree(WORKER, tmp_path / "worker", ignore=shutil.ignore_patterns("__pycache__"))
        command = [*AS_USER, "/usr/bin/python3"] if os.geteuid() == 0 else command
        subprocess.run(["chown", "-R", f"{USER}:{USER}", root], check=os.geteuid() == 0)
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == os.geteuid():
                parent.chmod(parent.stat().st_mode | 0o001)  # pytest's own folders are 0700
    worker = WORKER if request.param == "root" else tmp_path / "worker"

    def run(script: str, **asked: object) -> list[str]:
        (tmp_path / "shown").mkdir(exist_ok=True)
        write(tmp_path / "shown", {"script": f"#!/bin/act\n{script}\n"}).joinpath("script").chmod(0o755)
        request = {"root": str(root), "shown": str(tmp_path / "shown"), "at": "/shown", "network": False, "user": ""}
        request |= {"environment": {"A": "b"}, "folders": [], "folder": "/", "filter": seccomp.encoded(), **asked}
        argv = [*command, "-I", "-S", str(worker), "inside", json.dumps(request), "/shown/script"]
        nothing, merged = subprocess.DEVNULL, subprocess.STDOUT
        ran = subprocess.run(argv, env={}, stdin=nothing, stdout=subprocess.PIPE, stderr=merged, text=True)
        return [*ran.stdout.splitlines(), f"exit {ran.returncode}"]

    return run


def test_there_is_nothing_else(inside: Inside, tmp_path: Path) -> None:
    assert inside(f"read {tmp_path}/secret") == [f"{tmp_path}/secret: No such file or directory", "exit 1"]
    assert inside("link /proc/self\nread /proc/1/comm")[0] == "2"  # its own processes only
    mounts = inside("read /proc/mounts")
    assert {line.split()[1] for line in mounts[:-1] if not line.startswith(("devtmpfs", "udev", "devpts"))} >= {"/"}
    assert not [line for line in mounts if str(tmp_path) in line.split()[1:2]]


def test_who_and_where(inside: Inside) -> None:
    assert inside("who\nenvironment", folder="/new/folder", folders=["/data"]) == [
        "0:0 /new/folder",
        "HOME=/root",
        "A=b",
        "exit 0",
    ]
    assert inside("who\nwrite /tmp", user="app:web")[0] == "7:9 /"


def test_what_it_may_do(inside: Inside) -> None:
    """Write to its tree, use its devices and any port of its own network; not write to what it is shown."""
    assert inside("write /new\nwrite /dev/null\nwrite /dev/shm/x\nbind 80") == ["exit 0"]
    assert inside("write /shown/new") == ["/shown/new: Read-only file system", "exit 1"]
    assert inside("write /proc/sys/kernel/hostname") == ["/proc/sys/kernel/hostname: Read-only file system", "exit 1"]
    assert inside("open-to-all /dev/full")[0] == "/dev/full: Read-only file system"  # it is the machine's
    assert inside("connect 192.0.2.1") == ["192.0.2.1: Network is unreachable", "exit 1"]
    status = inside("read /proc/self/status")
    assert "NoNewPrivs:\t1" in status
    assert next(line for line in status if line.startswith("CapBnd")).endswith("880400fb")  # see namespaces.KEPT


@pytest.mark.parametrize("made", ["a pipe", "a folder", "a file", "a loop", "nothing", "to nothing", "to a device"])
@pytest.mark.parametrize("name", ["hosts", "resolv.conf"])
def test_what_is_in_the_place_of_a_file(inside: Inside, tmp_path: Path, name: str, made: str) -> None:
    """A test finds what a container has, and never waits for anybody."""
    path = tmp_path / "root/etc" / name
    links = {"a loop": name, "to nothing": "../run/x/y", "to a device": "/dev/null"}
    if made in links:
        path.symlink_to(links[made])
    elif made == "a pipe":
        os.mkfifo(path)
    elif made == "a folder":
        path.mkdir()
    elif made == "a file":
        path.write_text("the image's own")
        (tmp_path / "root/other").hardlink_to(path)
    said = inside(f"read /etc/{name}")
    if made == "a folder":
        assert said == [f"/etc/{name} in the image: expected a file, found a folder", "exit 1"]
        return
    assert said[-1] == "exit 0"
    assert ("127.0.0.1\tlocalhost" in said) == (name == "hosts" and made != "to a device")
    assert "the image's own" not in said
    if made == "a file":
        assert (tmp_path / "root/other").read_text() == "the image's own"


@pytest.mark.parametrize("path", ["/dev", "/proc", "/etc", "/shown", "/some", "/some/data"])
@pytest.mark.parametrize("kind", ["file", "pipe", "loop"])
def test_what_is_in_the_place_of_a_folder(inside: Inside, tmp_path: Path, path: str, kind: str) -> None:
    """One line that names the path in the image, and says nothing of namespaces."""
    root = tmp_path / "root"
    (root / "some").mkdir()
    place = root / path[1:]
    subprocess.run(["rm", "-rf", place], check=True)
    if kind == "file":
        place.write_text("")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(place.name)
    subprocess.run(["chown", "-hR", f"--reference={root}", root], check=True)
    line, last = inside("say never", folders=["/some/data"])
    assert last == "exit 1"
    assert line.startswith("/etc/hosts: /etc" if path == "/etc" else path)
    assert " in the image: expected a folder, found a " in line


def test_names_that_we_had_use_for(inside: Inside, tmp_path: Path) -> None:
    """/.quern-old is the image's, like every other name; what is shown is where a link of the image leads."""
    root = write(tmp_path / "root", {".quern-old": "the image's own\n"})
    assert inside("read /.quern-old") == ["the image's own", "exit 0"]
    shutil.rmtree(root / "shown")
    (root / "shown").symlink_to("elsewhere")
    assert inside("say well\nread /elsewhere/script")[0] == "well"
    (root / "run").symlink_to("/nothing/../..")
    assert inside("say", folders=["/run"])[-1] == "exit 1"


def test_what_is_held_open(inside: Inside) -> None:
    """Nothing by which mode or content of this machine's files can be changed: descriptors, the worker's program."""
    for path in ("/proc/self/fd/0", "/proc/1/fd/0", "/proc/1/exe"):
        assert inside(f"open-to-all {path}")[0] in (f"{path}: Read-only file system", f"{path}: Permission denied")
    assert inside("link /proc/1/cwd")[0] == "/proc/1/cwd: Permission denied"
    assert inside("keyring") == ["keyring: Operation not permitted", "exit 1"]
    assert inside("read /proc/keys\nread /proc/key-users") == ["exit 0"]


def test_links_in_a_tree_lead_nowhere_else(inside: Inside, tmp_path: Path) -> None:
    """Those by which what is put into the tree would come to be on this machine."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    root = tmp_path / "root"
    (root / "etc/hosts").symlink_to("../../../" + str(outside.relative_to("/")) + "/hosts")
    (root / "etc/resolv.conf").symlink_to("../run/resolv.conf")
    (root / "dev").symlink_to("/srv/devices")
    (root / "data").symlink_to("/srv/../../../srv/data")
    assert inside("read /etc/hosts\nwrite /dev/null", folders=["/data/x"])[-1] == "exit 0"
    (root / "volume").symlink_to(f"{outside}/volume")
    assert inside("", folders=["/volume"])[-1] == "exit 0"
    assert list(outside.iterdir()) == []


@needs_root
def test_where_there_can_be_no_namespaces(tmp_path: Path) -> None:
    request = {"root": str(tmp_path), "shown": str(tmp_path), "at": "/shown", "network": False, "user": ""}
    request |= {"environment": {}, "folders": [], "folder": "/", "filter": ""}
    command = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"]
    argv = [*command, sys.executable, "-I", "-S", str(WORKER), "inside", json.dumps(request)]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (125, "", "unshare: Operation not permitted\n")
    assert list(tmp_path.iterdir()) == []
