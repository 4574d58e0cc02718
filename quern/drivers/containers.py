"""Containers of the docker driver: made, confined, labelled, watched to their end, and swept up."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from quern.config.settings import Docker, Storage
from quern.drivers import terminal
from quern.drivers.processes import undisturbed
from quern.drivers.stream import Attached
from quern.engine import DEFAULT_ADDRESS, connect, field
from quern.errors import ConfigError, DriverError, EngineUnavailable, one_line

# what emerge needs as root: to give files their owners and modes, and to run as another user where it is told to
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID")
# What a command says when it lacks a capability that a build may have reason to ask for, and which it is.
DENIED = r"(?:Operation not permitted|Permission denied|permission denied|must be superuser|EPERM)"
CAPABILITY_OF = {
    rf"\bmknod\b.*{DENIED}": "MKNOD",
    rf"(?:\bsetcap\b|[Ff]ailed to set capabilit|security\.capability).*{DENIED}": "SETFCAP",
    rf"\bchroot\b.*{DENIED}": "SYS_CHROOT",
    rf"\b(?:mount|unshare|setns)\b.*{DENIED}": "SYS_ADMIN",
    rf"\b(?:setpriority|renice|sched_setscheduler)\b.*{DENIED}": "SYS_NICE",
    rf"(?:\bSOCK_RAW\b|raw socket).*{DENIED}": "NET_RAW",
}
PROJECT, WORK = "quern.project", "quern.work"  # labels: the folder of all work folders, and one of them
TIMEOUT = 60  # seconds for an answer of the daemon; making a container on a slow disk took 3
PYTHON = "python3"
HOSTNAME = "localhost"  # as in namespaces


def address_of(docker: Docker) -> str:
    """The daemon's address."""
    return docker.daemon or DEFAULT_ADDRESS


def bind(source: Path, target: Path | str, read_only: bool = False) -> Any:  # noqa: ANN401 (the SDK ships no types)
    """A folder of this machine in the container; one that is not there is an error."""
    from docker.types import Mount

    return Mount(str(target), str(source), type="bind", read_only=read_only)


def name_of(profile: str) -> str:
    """quern-REPOSITORY-PROFILE-PID."""
    return f"quern-{re.sub('[^A-Za-z0-9_.-]', '-', profile)}-{os.getpid()}"


def labels_of(work: Path) -> dict[str, str]:
    """What says whose a container is."""
    return {PROJECT: str(work.parent), WORK: str(work)}


def confinement(docker: Docker, network: str) -> dict[str, Any]:
    """What a container is kept from, as options of its host configuration. Docker's seccomp profile stays on."""
    options: dict[str, Any] = {
        "cap_drop": ["ALL"],
        "cap_add": [*CAPABILITIES, *(name.removeprefix("CAP_") for name in docker.capabilities)],
        "security_opt": ["no-new-privileges"],
        "network_mode": network,
    }
    if docker.memory:
        options |= {"mem_limit": docker.memory, "memswap_limit": docker.memory}
    if docker.cpus:
        options["nano_cpus"] = docker.cpus
    return options


def lacking_capability(docker: Docker, output: str) -> str:
    """A sentence on the capability for lack of which a command seems to have failed; empty if for none."""
    for pattern, name in CAPABILITY_OF.items():
        found = re.search(pattern, output)
        if found and f"CAP_{name}" not in docker.capabilities:
            return (
                f"Containers have no CAP_{name} ({found[0]}); if the package has good reason to need it:"
                f" [docker] capabilities = {name}"
            )
    return ""


@contextmanager
def _asked_for(docker: Docker) -> Iterator[None]:
    """While inside, what the daemon refuses is said with the options of which one may be why."""
    from docker.errors import APIError

    try:
        yield
    except APIError as error:
        if f'exec: "{PYTHON}"' in str(error.explanation):
            raise DriverError(
                f"the builder image {docker.image} has no {PYTHON}: it must have Portage, and a Python of 3.9 or later"
            ) from None
        options = ("network", "memory", "cpus", "capabilities", "workdir_storage")
        named = [f"docker.{name}" for name in options if getattr(docker, name) not in (None, (), Storage())]
        hint = f" (see {', '.join(named)})" if named else ""
        raise DriverError(f"docker makes no container: {one_line(error.explanation)}{hint}") from error


def sweep(docker: Docker, work: Path) -> None:
    """Remove what quern has left behind: of this image everything, of the project's others what still runs.

    The lock of `work` is ours, so nothing of it is in use; another image's container is, while that lock is held.
    """
    with connect(address_of(docker), TIMEOUT) as client:
        if _is_podman(client):
            raise ConfigError(
                f"docker.daemon: {address_of(docker)} is Podman's; build.driver = docker needs docker's own daemon"
                " (finished images can be loaded into Podman's)"
            )
        _sweep(client, work)


def swept(docker: Docker, work: Path) -> bool:
    """The same as `sweep`, for a container that need not be; whether there can be one, with Podman there cannot."""
    with connect(address_of(docker), TIMEOUT) as client:
        if _is_podman(client):
            return False
        _sweep(client, work)
    return True


def _is_podman(client: Any) -> bool:  # noqa: ANN401 (the SDK ships no types)
    parts = field(client.version(), list, "Components")
    return any("podman" in field(part, str, "Name").lower() for part in parts)


def _sweep(client: Any, work: Path) -> None:  # noqa: ANN401
    for found in field(client.api.containers(all=True, filters={"label": f"{PROJECT}={work.parent}"}), list):
        other = Path(field(found, str, "Labels", WORK))
        if other == work or (field(found, str, "State") == "running" and not _is_locked(other / "lock")):
            _remove(client, field(found, str, "Id"))
    for found in field(client.api.images(filters={"label": f"{WORK}={work}"}), list):
        _remove_image(client, field(found, str, "Id"))


@contextmanager
def as_left(docker: Docker, work: Path, name: str, image: str) -> Iterator[str]:
    """An image of the container of the command `name` that was kept of a failure, with what was done to its `/`.

    Where there is none it is `image`.
    """
    with connect(address_of(docker), TIMEOUT) as client:
        wanted = {"label": f"{WORK}={work}", "status": "exited", "name": f"{re.escape(name)}$"}
        kept = field(client.api.containers(all=True, filters=wanted), list)
        if not kept:
            yield image
            return
        with _asked_for(docker):
            made = field(client.api.commit(field(kept[0], str, "Id")), str, "Id")
        try:
            yield made
        finally:
            with undisturbed():
                _remove_image(client, made)


def _remove_image(client: Any, image: str) -> None:  # noqa: ANN401 (the SDK ships no types)
    import docker

    with suppress(docker.errors.APIError):  # it is gone, or still used by a shell
        client.api.remove_image(image)


def _supervised(shell: Sequence[str], network: str) -> dict[str, Any]:
    """What runs in a container of the builder image; in another container's `network` it has that one's host name."""
    argv = shell or [PYTHON, "-I", "-B", "/quern/worker", "supervise"]
    return {
        "entrypoint": argv[:1],
        "command": argv[1:],
        "tty": bool(shell),
        "environment": {"TERM": os.environ.get("TERM", "dumb")} if shell else None,
        "hostname": None if network.startswith("container:") else HOSTNAME,
        "user": "0:0",
        "working_dir": "/",
        "stdin_open": True,
    }


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remove(client: Any, container: str) -> None:  # noqa: ANN401 (the SDK ships no types)
    import docker

    with suppress(docker.errors.NotFound):
        client.api.remove_container(container, force=True, v=True)


class Container:
    """One container, from its creation to its removal."""

    def __init__(self, client: Any, docker: Docker, identifier: str, name: str) -> None:  # noqa: ANN401
        self._client = client
        self._docker = docker
        self._id = identifier
        self.name = name
        self._kept = False
        self._stream: Attached | None = None

    @classmethod
    @contextmanager
    def created(
        cls,
        docker: Docker,
        image: str,
        name: str,
        labels: Mapping[str, str],
        mounts: list[Any],
        options: Mapping[str, Any],
        shell: Sequence[str] = (),
        program: Mapping[str, Any] | None = None,
    ) -> Iterator[Container]:
        """A container of `image`, not started; removed at the end, however that comes, unless it is kept.

        With `shell`, a command line, it runs that in a terminal of its own; with `program` what that says, in the SDK's
        terms.
        """
        with connect(address_of(docker), TIMEOUT) as client:
            with _asked_for(docker):
                created = client.api.create_container(
                    image,
                    name=name,
                    labels=dict(labels),
                    **(program or _supervised(shell, options.get("network_mode", ""))),
                    host_config=client.api.create_host_config(mounts=mounts, **options),
                )
            container = cls(client, docker, field(created, str, "Id"), name)
            try:
                yield container
            finally:
                container.close()

    @property
    def identifier(self) -> str:
        """Its id."""
        return self._id

    def start(self, request: Mapping[str, object] | None) -> None:
        """Start it with a request for the worker's `supervise`, if that is what runs there.

        Raises DriverError if its image has no Python.
        """
        self._stream = Attached(address_of(self._docker), self._id)
        with _asked_for(self._docker):
            self._client.api.start(self._id)
        if request is not None:
            self._stream.send(json.dumps(request).encode() + b"\n")

    def converse(self) -> None:
        """Start it, a shell, and lend it the user's terminal until its end."""
        from docker.errors import APIError

        def resize(lines: int, columns: int) -> None:
            with suppress(APIError):  # it has just ended
                self._client.api.resize(self._id, lines, columns)

        self._stream = Attached(address_of(self._docker), self._id)
        with _asked_for(self._docker):
            self._client.api.start(self._id)
        terminal.relay(self._stream.fileno(), resize, has_ended=lambda: False)

    def output(self) -> Iterator[tuple[int, bytes]]:
        """What it writes, as (stream.STDOUT or STDERR, bytes), until its end."""
        assert self._stream is not None
        return self._stream.frames()

    def wait(self, where: str) -> int:
        """Its exit status. Raises DriverError if it did not end by itself; `where` ends the message."""
        import docker
        import requests

        try:
            status = field(self._client.api.wait(self._id, timeout=TIMEOUT), int, "StatusCode")
            state = field(self._client.api.inspect_container(self._id), dict, "State")
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            self._kept = True  # there is nobody to remove it; the next run does
            raise EngineUnavailable(
                f"the docker daemon at {address_of(self._docker)} went away while container {self.name} ran{where}"
            ) from error
        if field(state, bool, "OOMKilled"):
            limit = f"docker.memory = {self._docker.memory >> 20}m" if self._docker.memory else "this machine's memory"
            raise DriverError(f"a process in container {self.name} was killed for want of memory ({limit}){where}")
        return status

    def stop(self) -> None:
        """End what runs in it, from another thread: its supervisor ends when nobody holds its standard input."""
        if self._stream is not None:
            self._stream.end()

    def keep(self) -> None:
        """Leave it where it is at the end."""
        self._kept = True

    def close(self) -> None:
        """Remove it, running or not, unless it is kept."""
        if self._stream is not None:
            self._stream.close()
        if not self._kept:
            import docker
            import requests

            # what ended the build is what is to be said; a container that stays is swept by the next
            with undisturbed(), suppress(docker.errors.DockerException, requests.exceptions.RequestException):
                _remove(self._client, self._id)
