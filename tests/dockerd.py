"""A docker daemon that belongs to the tests: own socket, own data, own network namespace, stopped by its pid."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_TIMEOUT = 60.0  # seconds; a slow disk needs 5
STOP_TIMEOUT = 30.0


class Unavailable(Exception):
    """There can be no daemon here; str() says why."""


class Dockerd:
    """Start with `start`, stop with `stop`; `address` is what DOCKER_HOST would be."""

    def __init__(self) -> None:
        # Not below pytest's folder: the path of a Unix socket has 107 bytes at most (unix(7)).
        self.folder = Path(tempfile.mkdtemp(prefix="quern-dockerd-"))
        self.socket = self.folder / "docker.sock"
        self.address = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers; Unavailable if it cannot run here."""
        log = self.folder / "log"
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable("dockerd did not start: " + log.read_text(errors="replace")[-1000:])
            time.sleep(0.05)

    def _command(self) -> list[str]:
        if os.geteuid() != 0:
            raise Unavailable("a private dockerd needs root")
        missing = [name for name in ("dockerd", "containerd", "runc", "unshare", "setpriv") if not shutil.which(name)]
        if missing:
            raise Unavailable(f"{', '.join(missing)} missing (Debian packages docker.io, util-linux)")
        return [
            # A killed pytest takes its daemon along.
            *("setpriv", "--pdeathsig", "TERM"),
            # Without a bridge it would delete that of another daemon in the same network namespace. Its mounts, some
            # of which it leaves behind, go with it; those of the host still reach it.
            *("unshare", "--net", "--mount", "--propagation", "slave"),
            *("dockerd", "--iptables=false", "--bridge", "none"),
            *("--host", self.address, "--pidfile", str(self.folder / "pid")),
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
        ]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(self.socket))
                client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return client.recv(64).startswith(b"HTTP/1.0 200")
            except OSError:
                return False

    def beside(self, *command: str) -> list[str]:
        """The command line that runs `command` in the daemon's network namespace."""
        assert self._process is not None
        return ["nsenter", "--net", "--target", str(self._process.pid), *command]

    def among_its_mounts(self, *command: str) -> list[str]:
        """The command line that runs `command` where it sees the daemon's mounts, and the daemon sees its own."""
        assert self._process is not None
        return ["nsenter", "--mount", "--target", str(self._process.pid), *command]

    def kill(self) -> None:
        """End it as a crash would: it alone, and not what it has started."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _end_orphans(self) -> None:
        """End what a killed daemon has left: containerd's shims, which have its folder in their command lines."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.fsencode(self.folder) in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)

    def stop(self) -> None:
        """Stop it and remove all it wrote."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._end_orphans()
        shutil.rmtree(self.folder)
