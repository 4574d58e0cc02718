"""Builds that can do no harm: commands in namespaces of their own, and real builds of an ebuild that tries."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from quern.drivers import confinement
from quern.drivers.base import Command, Reach
from quern.drivers.confinement import is_possible, obstacle
from quern.drivers.raw import RawDriver
from quern.errors import BuildError, DriverError
from tests.building import CHECKOUT
from tests.conftest import needs_root, tool
from tests.projects import DATA, write
from tests.servers import serving
from tests.test_emerging import TREE, Lab, ebuild

USER = 65534
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
# root as in docker: it may not make namespaces
FORBIDDEN = ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all")

QUERN = """
import json, sys
from pathlib import Path
from quern.drivers.base import Command, Reach
from quern.drivers.raw import RawDriver
folder = Path(sys.argv[1])
command = Command(sys.argv[2:], {"PATH": "/usr/bin:/bin"}, folder, folder / "log", Reach([folder]))
RawDriver(confine="on").run(command, lambda line: print(line, flush=True))
"""

# a command in namespaces, of which process 1 says what it does and does each thing for a while
SLOW_TO_BEGIN = """
import os, sys, time
from quern.worker import confine, namespaces

def linger(word):
    print(word, flush=True)
    time.sleep(0.5)

def become():
    linger("become")
    os.execvp("sleep", ["sleep", "20"])

sys.exit(confine.isolated(lambda: namespaces.unshare(network=False), lambda: linger("arrange"), become))
"""


@pytest.fixture(autouse=True)
def token(tmp_path: Path) -> Iterator[str]:
    """A word that no other test's files and processes are called by."""
    name = f"quern-{os.getpid()}-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}"
    yield name
    for pid in running(name):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def namespaces() -> None:
    """Nothing but a reason to skip where commands cannot be confined; what happens there is tested below."""
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")


def running(token: str) -> list[int]:
    """The processes with `token` in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if token.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def ended(token: str) -> bool:
    """Whether no process with `token` is left, or none is soon."""
    deadline = time.monotonic() + 10
    while running(token):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def confined(folder: Path, script: str, *readable: Path) -> tuple[int, list[str]]:
    """Run a shell script in `folder`, which alone it may write to; give its status and lines."""
    lines: list[str] = []
    folder.mkdir(exist_ok=True)
    reach = Reach([folder], readable)
    argv, environment = ["sh", "-c", script], {"PATH": "/usr/bin:/bin"}
    command = Command(argv, environment, folder, folder / "log", reach)
    return RawDriver(confine="on").run(command, lines.append), lines


@pytest.mark.usefixtures("namespaces")
def test_its_own_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    script = f"echo kept > file; pwd; echo x > {tmp_path}/beside/file; cd {tmp_path}/seen; ls; echo x > file"
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen/text").touch()
    status, lines = confined(tmp_path / "own", script, tmp_path / "seen", tmp_path / "absent")
    assert status != 0
    assert (tmp_path / "own/file").read_text() == "kept\n"
    assert lines[0] == str(tmp_path / "own")
    assert "text" in lines
    assert "Read-only file system" in lines[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside", "own", "seen"]
    assert not any((tmp_path / "beside").iterdir())
    assert [path.name for path in (tmp_path / "seen").iterdir()] == ["text"]


@pytest.mark.usefixtures("namespaces")
def test_folders_by_another_name(tmp_path: Path) -> None:
    """A link on the way, in a folder that is hidden, leads where it did; so does the folder's real name."""
    (tmp_path / "real/own").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    script = f"echo 1 > {tmp_path}/link/own/one; echo 2 > {tmp_path}/real/own/two"
    assert confined(tmp_path / "link/own", script) == (0, [])
    assert {"one", "two"} <= {path.name for path in (tmp_path / "real/own").iterdir()}


@pytest.mark.usefixtures("namespaces")
def test_links_on_the_way_from_outside(tmp_path: Path) -> None:
    """A link that lies where nothing is hidden leads to one that is hidden, and on."""
    for name in ("own", "seen"):
        (tmp_path / f"there/{name}").mkdir(parents=True)
        (tmp_path / name).symlink_to(f"there/../there/{name}")
    (tmp_path / "there/seen/text").touch()
    with tempfile.TemporaryDirectory(dir=Path.home()) as outside:
        for name in ("own", "seen"):
            Path(outside, name).symlink_to(tmp_path / name)
        script = f"echo 1 > {outside}/own/one; ls {outside}/seen; echo 2 > {tmp_path}/own/two"
        assert confined(Path(outside, "own"), script, Path(outside, "seen")) == (0, ["text"])
    assert {"one", "two"} <= {path.name for path in (tmp_path / "own").iterdir()}


@pytest.mark.usefixtures("namespaces")
def test_an_interpreter_behind_links(tmp_path: Path) -> None:
    """The Python of a virtual environment may lead through folders that are hidden."""
    for name in ("venv/bin", "between/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "between/bin/python").symlink_to(sys.executable)
    python = tmp_path / "venv/bin/python"
    python.symlink_to(tmp_path / "between/bin/python")
    (tmp_path / "own").mkdir()
    command = Command(
        [str(python), "-c", "print(1)"], {}, tmp_path / "own", tmp_path / "log", Reach([tmp_path / "own"])
    )
    lines: list[str] = []
    assert RawDriver(python=str(python), confine="on").run(command, lines.append) == 0
    assert lines == ["1"]


@pytest.mark.usefixtures("namespaces")
def test_what_programs_expect(tmp_path: Path) -> None:
    """A terminal of one's own, shared memory, devices, standard streams by name, one's own processes."""
    script = f"""
    {sys.executable} -I -c 'import multiprocessing, pty; pty.openpty(); multiprocessing.Lock(); print("fine")'
    echo x > /dev/null; head -c 1 /dev/zero | wc -c; echo y | cat /dev/stdin; : > /tmp/file && echo private
    chmod 666 /dev/full || echo not mine
    echo $$; ls -d /proc/[0-9]* | wc -l
    """
    status, lines = confined(tmp_path, script, Path(sys.prefix), Path(sys.base_prefix))
    assert (status, lines[:4]) == (0, ["fine", "1", "y", "private"])
    assert (lines[4], lines[5]) == ("chmod: changing permissions of '/dev/full': Read-only file system", "not mine")
    assert int(lines[6]) == 2
    assert int(lines[7]) <= 4


@pytest.mark.usefixtures("namespaces")
def test_status_of_a_command(tmp_path: Path) -> None:
    assert confined(tmp_path, "exit 7")[0] == 7
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        assert confined(tmp_path, f"kill -{int(number)} $$")[0] == 128 + number
    command = Command(["/nowhere/emerge"], {"PATH": "/bin"}, tmp_path, tmp_path / "log")
    lines: list[str] = []
    assert RawDriver(confine="on").run(command, lines.append) == 127
    assert lines == ["/nowhere/emerge: No such file or directory"]


@pytest.mark.usefixtures("namespaces")
def test_what_is_left_behind_ends(tmp_path: Path, token: str) -> None:
    script = f"setsid sh -c 'while :; do sleep 1; done # {token}' > /dev/null 2>&1 & echo started"
    assert confined(tmp_path, script) == (0, ["started"])
    assert ended(token)


@pytest.mark.usefixtures("namespaces")
def test_it_has_no_network(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with serving(tmp_path / "files") as (address, asked):
        server = address.removeprefix("http://").replace(":", "/")
        status, _ = confined(tmp_path / "a", f"bash -c 'echo GET /absent > /dev/tcp/{server}'")
        assert (status, asked) == (1, [])


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_quern_ends_everything(tmp_path: Path, token: str, number: signal.Signals) -> None:
    script = f"""
    setsid sh -c 'while :; do sleep 1; done # {token}' > /dev/null 2>&1 &
    echo started
    wait
    """
    argv = [sys.executable, "-c", QUERN, str(tmp_path), "sh", "-c", script]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.send_signal(number)
        process.wait(30)
    assert ended(token)


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("moment", ["arrange", "become"])
def test_a_signal_before_the_command_has_begun(moment: str) -> None:
    """All of its group gets it, none of which may lose it."""
    argv = [sys.executable, "-c", SLOW_TO_BEGIN]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, start_new_session=True, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != f"{moment}\n":
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM


@pytest.mark.usefixtures("namespaces")
def test_one_command_that_cannot_be_confined(tmp_path: Path) -> None:
    command = Command(["true"], {"PATH": "/bin"}, tmp_path, tmp_path / "log", Reach([tmp_path / "absent"]))
    with pytest.raises(DriverError, match=r"^this build cannot be confined: .*absent.*; to build without: \[build\]"):
        RawDriver(confine="on").run(command, print)


@pytest.mark.usefixtures("namespaces")
def test_the_terminal_when_asked_for(tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            argv = ["sh", "-c", "read x < /dev/tty; test -t 1; echo $? $x"]
            command = Command(argv, {"PATH": "/bin"}, tmp_path, tmp_path / "log", Reach([tmp_path]), terminal=True)
            os._exit(RawDriver(confine="on").shell(command, print))
        os._exit(99)
    os.write(terminal, b"yes\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"0 yes" in os.read(terminal, 1000)
    os.close(terminal)


@needs_root
def test_where_proc_cannot_be_mounted(tmp_path: Path) -> None:
    """In a container that hides a part of its own /proc: the old one stays, read-only."""
    if reason := obstacle():
        pytest.skip(reason)
    script = f"""
    mount -t tmpfs none /proc/fs &&
    exec {sys.executable} -c '{QUERN}' {tmp_path} sh -c 'echo fine; echo x > /proc/self/comm'
    """
    argv = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script]
    ran = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True)
    assert "fine" in ran.stdout, ran.stderr
    assert "Read-only file system" in ran.stdout


def test_a_machine_that_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning comes once; who insists gets an error, who does not care nothing."""
    monkeypatch.setattr(confinement, "obstacle", lambda: "unshare: Operation not permitted")
    monkeypatch.setattr(confinement, "_warned", set())
    said: list[str] = []
    assert [is_possible("auto", said.append) for _ in range(2)] == [False, False]
    assert len(said) == 1
    assert "not confined" in said[0]
    assert not is_possible("off", said.append)
    with pytest.raises(DriverError, match=r"build\.confine = on: .*Operation not permitted"):
        is_possible("on", said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("output", "part"),
    [
        ("touch: cannot touch '/etc/x': Read-only file system", "Builds may write to their own folders only."),
        ("curl: (6) Could not resolve host: example.org", "Builds have no network"),
        ("connect: Network is unreachable", "Builds have no network"),
        ("error: expected ';'", ""),
    ],
)
def test_hint(output: str, part: str) -> None:
    said = confinement.hint(output, "[build] confine = off")
    assert said.startswith(part)
    assert bool(said) == bool(part)


class Stranger:
    """A project with the ebuild of a stranger, and what of this machine it goes for."""

    def __init__(self, folder: Path, token: str) -> None:
        self.folder, self.token = folder, token
        self.home, self.outside = folder / "home", folder / "outside"
        files = {"project/dodo.py": (CHECKOUT / "dodo.py").read_text(), "project/profiles/repo_name": "images\n"}
        files |= {f"project/tree/{name}": text for name, text in TREE.items()}
        files["project/profiles/one/quern.conf"] = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n"
        files["project/profiles/one/packages"] = "lab/stranger\n"
        files["project/profiles/one/parent"] = "lab:image\n"
        files["project/tree/profiles/image/packages"] = ""
        files |= {"home/letter": "dear", "outside/victim": "unharmed\n", "server/source-1.txt": "source\n"}
        write(folder, files)

    @contextlib.contextmanager
    def besieged(self, python: str) -> Iterator[list[str]]:
        """While inside, there is something to attack; gives what the server is asked for."""
        with (
            socket.socket(socket.AF_UNIX) as abstract,
            socket.socket(socket.AF_UNIX) as named,
            subprocess.Popen(["sleep", "3210"]) as sleeper,
            serving(self.folder / "server") as (address, asked),
        ):
            abstract.bind("\0" + self.token)
            abstract.listen()
            named.bind(str(self.home / "socket"))
            (self.home / "socket").chmod(0o777)
            named.listen()
            port = address.rpartition(":")[2]
            words = [self.home, self.outside, port, self.token, self.home / "socket", sleeper.pid]
            self._write_ebuild(address, f"{python} -I -S ${{FILESDIR}}/attack.py {' '.join(map(str, words))}")
            try:
                yield asked
                assert sleeper.poll() is None
            finally:
                sleeper.kill()

    def _write_ebuild(self, address: str, attack: str) -> None:
        body = f'{attack} "${{ROOT%/image*}}" {self.token} > "${{ED}}/usr/share/lab/attack" || die'
        depend = f"echo x 2>/dev/null > {self.outside}/{self.token}"
        text = ebuild(f'SRC_URI="{address}/source-1.txt"\n{depend}', body)
        folder = self.folder / "project/tree/lab/stranger"
        source = (self.folder / "server/source-1.txt").read_bytes()
        manifest = f"DIST source-1.txt {len(source)} BLAKE2B {hashlib.blake2b(source).hexdigest()}"
        manifest += f" SHA512 {hashlib.sha512(source).hexdigest()}\n"
        files = {"stranger-1.ebuild": text, "Manifest": manifest, "files/attack.py": (DATA / "attack.py").read_text()}
        write(folder, files)

    def check(self, asked: list[str]) -> None:
        """Everything outside is as it was, and the package is built."""
        assert [path for path in (self.home / "letter", self.outside / "victim") if not path.exists()] == []
        assert (self.outside / "victim").read_text() == "unharmed\n"
        assert sorted(path.name for path in self.outside.iterdir()) == ["victim"]
        assert sorted(path.name for path in self.home.iterdir()) == ["letter", "socket"]
        for folder in ("/etc", "/dev/shm", "/tmp", "/var/tmp", "/run", "/dev"):
            assert not Path(folder, self.token).exists()
        assert asked == ["/source-1.txt"]
        assert ended(self.token)
        installed = self.folder / "project/build/one/root/image/usr/share/lab"
        assert (installed / "stranger").read_text() == "stranger-1\n"
        said = [line.split() for line in (installed / "attack").read_text().splitlines()]
        assert len(said) == 28
        harmless = {"private", "loopback", "daemon", "link"}
        assert [words for words in said if words[1] == "done" and words[0] not in harmless] == []
        assert ["loopback", "done"] in said


@pytest.fixture
def stranger(tmp_path: Path, token: str) -> Iterator[Stranger]:
    """The ebuild of a stranger, not built yet."""
    tool("scanelf", "pax-utils")
    yield Stranger(tmp_path, token)
    for folder in ("/etc", "/dev/shm", "/tmp", "/var/tmp", "/run", "/dev"):
        Path(folder, token).unlink(missing_ok=True)


def doit(
    stranger: Stranger,
    *prefix: str,
    python: str = sys.executable,
    task: Sequence[str] = ("tarball:one",),
    **variables: str,
) -> Any:  # noqa: ANN401
    """What came of building the image, started by a command `prefix`."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(stranger.home), "PYTHONPATH": str(CHECKOUT), **variables}
    return subprocess.run(
        [*prefix, python, "-m", "doit", *task],
        cwd=stranger.folder / "project",
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_the_ebuild_of_a_stranger(stranger: Stranger) -> None:
    with stranger.besieged(sys.executable) as asked:
        ran = doit(stranger, QUERN_BUILD_CONFINE="on")
        assert ran.returncode == 0, ran.stdout
        stranger.check(asked)
    assert "Warning" not in ran.stdout


@needs_root
@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_an_ordinary_user(stranger: Stranger, for_everyone: str) -> None:
    path = f"{Path(for_everyone).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    with stranger.besieged(for_everyone) as asked:
        subprocess.run(["chown", "-R", f"{USER}:{USER}", *stranger.folder.glob("[!p]*")], check=True)
        subprocess.run(["chown", "-R", f"{USER}:100", stranger.folder / "project"], check=True)
        (stranger.folder / "project").chmod(0o2755)  # what is made there is of a group that is not the user's
        ran = doit(stranger, *AS_USER, python=for_everyone, PATH=path, QUERN_BUILD_CONFINE="on", PYTHONPATH="")
        assert ran.returncode == 0, ran.stdout
        stranger.check(asked)


@needs_root
@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_a_shell_of_an_ordinary_user(stranger: Stranger, for_everyone: str) -> None:
    path = f"{Path(for_everyone).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    write(stranger.folder / "project/tree", {"lab/stranger/stranger-1.ebuild": ebuild(body="touch made; die")})
    subprocess.run(["chown", "-R", f"{USER}:{USER}", stranger.folder / "project"], check=True)
    ran = doit(stranger, *AS_USER, python=for_everyone, PATH=path, QUERN_BUILD_CONFINE="on", PYTHONPATH="")
    assert ran.stdout.rstrip().endswith("\nshell: doit shell:one")
    script = "--command=id -u; ls; touch ${PORTAGE_CONFIGROOT}/x"
    ran = doit(stranger, *AS_USER, python=for_everyone, task=("shell:one", script), PATH=path, PYTHONPATH="")
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[1:3] == [str(USER), "made"]
    assert "Read-only file system" in ran.stdout


@needs_root
@pytest.mark.emerge
def test_without_the_right_to_namespaces(stranger: Stranger) -> None:
    """One warning for two steps that emerge, or one error."""
    write(stranger.folder / "project/tree", {"lab/stranger/stranger-1.ebuild": ebuild()})
    ran = doit(stranger, *FORBIDDEN, QUERN_BUILD_CONFINE="on")
    assert ran.returncode != 0
    assert ran.stdout.count("build.confine = on: builds cannot be confined on this machine") == 1
    assert "Traceback" not in ran.stdout
    ran = doit(stranger, *FORBIDDEN)
    assert ran.returncode == 0, ran.stdout
    assert ran.stdout.count("Warning: builds are not confined") == 1
    assert "Traceback" not in ran.stdout


@needs_root
def test_a_user_who_may_make_no_namespace(for_everyone: str) -> None:
    """The machine's own setting, in a user namespace where it can be changed."""
    question = "from quern.drivers.confinement import obstacle; print(obstacle())"
    script = f"""
    echo 0 > /proc/sys/user/max_user_namespaces &&
    exec setpriv --ambient-caps=-all --inh-caps=-all {for_everyone} -c '{question}'
    """
    if reason := obstacle():
        pytest.skip(reason)
    argv = [*AS_USER, "unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert ran.stdout == "unshare: No space left on device\n", ran.stderr


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_a_build_that_writes_elsewhere(lab: Lab, token: str) -> None:
    write(lab.tree, {"lab/base/base-1.ebuild": ebuild(body=f"touch /usr/{token} || die")})
    with pytest.raises(BuildError) as error:
        lab.build()
    assert "lab/base-1" in str(error.value)
    assert "own folders only. To let them write wherever you can: [build] confine = off" in str(error.value)
    assert not Path("/usr", token).exists()


@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_a_live_ebuild(lab: Lab) -> None:
    write(lab.tree, {"lab/base/base-1.ebuild": ebuild('PROPERTIES="live"')})
    with pytest.raises(BuildError, match=r"(?s)lab/base-1: a live ebuild .*with \[build\] confine = off"):
        lab.build()


@pytest.mark.emerge
@pytest.mark.usefixtures("namespaces")
def test_an_ebuild_that_says_where_its_sources_are(lab: Lab, tmp_path: Path) -> None:
    """pkg_nofetch runs while sources are fetched, but without the network."""
    (tmp_path / "files").mkdir()
    with serving(tmp_path / "files") as (address, asked):
        server = address.removeprefix("http://").replace(":", "/")
        lines = f"""SRC_URI="big.bin"
RESTRICT="fetch"
pkg_nofetch() {{ printf "GET /told HTTP/1.0\\r\\n\\r\\n" > /dev/tcp/{server}; einfo "Get it from the vendor"; }}
"""
        write(lab.tree, {"lab/base/base-1.ebuild": ebuild(lines), "lab/base/Manifest": "DIST big.bin 1 SHA512 00\n"})
        with pytest.raises(BuildError) as error:
            lab.build()
    assert asked == []
    assert "lab/base-1" in str(error.value)
    assert "Get it from the vendor" in str(error.value)
