"""The docker daemon: is the tag there, and load the archive.

The first is asked at every run, so it is a bare request over the Unix or TCP socket: importing the docker SDK or
http.client would cost more than all the rest of a run that has nothing to do. TLS and ssh daemons, and everything else
that is asked, go through the SDK. An address is what DOCKER_HOST holds; None is the usual socket.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from quern import untrusted_json
from quern.errors import EngineError, EngineSilent, EngineUnavailable, one_line

if TYPE_CHECKING:
    import socket

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
ANSWER = 1 << 20  # bytes of an answer at most; what docker says of an image are some thousand
SHOWN = 200  # characters of an answer in a message of ours
Kind = TypeVar("Kind", str, int, bool, dict[str, Any], list[Any])
ASK_TIMEOUT = 0.5  # seconds for a question at every run; a daemon that is well answers in 0.002
LOAD_TIMEOUT = 600  # seconds without a word while loading; 600 MB took 15 s


def tagged_image_id(address: str | None, reference: str, timeout: float = ASK_TIMEOUT) -> str | None:
    """The id (sha256:HEX) of the image that `reference`, NAME:TAG, stands for in the daemon; None if it has none.

    `timeout` is for the whole answer, in seconds; through the SDK for each thing it asks, and ssh has a time of its
    own. EngineUnavailable, EngineSilent or EngineError otherwise.
    """
    if not reference.isascii() or not reference.isprintable() or " " in reference or "%" in reference:
        raise EngineError(f"{reference!r} cannot be the name of an image")
    if not _is_plain(address or DEFAULT_ADDRESS):
        with connect(address, timeout) as client:
            return _sdk_image_id(client, reference)
    status, body = _get(address or DEFAULT_ADDRESS, f"/images/{reference}/json", timeout)
    if status == 404:
        return None

    try:
        answer = untrusted_json.parse(body)
    except ValueError:
        answer = None
    said = answer.get("Id" if status == 200 else "message") if isinstance(answer, dict) else None
    if isinstance(said, str) and status == 200:
        return _normal(said)
    said = one_line(said if isinstance(said, str) else body[:SHOWN].decode(errors="replace"))[:SHOWN]
    raise EngineError(f"docker daemon at {address or DEFAULT_ADDRESS}: status {status}: {said}")


def ping(address: str | None, timeout: float = ASK_TIMEOUT) -> None:
    """Return if a daemon answers; EngineUnavailable or EngineSilent otherwise."""
    if not _is_plain(address or DEFAULT_ADDRESS):
        with connect(address, timeout) as client:
            client.ping()
        return
    status, _ = _get(address or DEFAULT_ADDRESS, "/_ping", timeout)
    if status != 200:
        raise EngineUnavailable(f"docker daemon at {address or DEFAULT_ADDRESS}: status {status}")


def load_and_tag(address: str | None, archive: Path, references: Sequence[str], ids: Collection[str]) -> str:
    """Load `archive` into the daemon and give the image each of `references`; returns its id there.

    `ids` are those it may have (ArchiveInfo.ids). EngineError if it has another one afterwards.
    """
    with connect(address, timeout=LOAD_TIMEOUT) as client:
        from quern.engine_sdk import load

        with archive.open("rb") as stream:
            loaded = {name: _sdk_image_id(client, name) for name in load(client, stream)}
        found = next((name for name, image_id in loaded.items() if image_id in ids), None)
        if found is None:
            names = ", ".join(map(str, loaded.values())) or "nothing"
            raise EngineError(f"{archive}: the daemon loaded {names}, expected {' or '.join(sorted(ids))}")
        for reference in references:
            repository, _, tag = reference.rpartition(":")
            client.api.tag(found, repository, tag)
            if _sdk_image_id(client, reference) not in ids:
                raise EngineError(f"{reference}: the daemon gave this name to another image")
        return str(loaded[found])


def _sdk_image_id(client: Any, reference: str) -> str | None:  # noqa: ANN401 (the SDK ships no types)
    import docker

    try:
        return _normal(field(client.api.inspect_image(reference), str, "Id"))
    except docker.errors.ImageNotFound:
        return None


def field(answer: object, kind: type[Kind], *keys: str) -> Kind:
    """What the daemon's `answer` has at these keys, one below the other. Raises EngineError if that is of another kind.

    `None` where a list or an object is expected is an empty one: Go writes those so.
    """
    for key in keys:
        answer = answer.get(key) if isinstance(answer, dict) else None
    if answer is None and kind in (dict, list):
        return kind()
    if not isinstance(answer, kind):
        expected = f"{kind.__name__} {'.'.join(keys)}".strip()
        raise EngineError(f"the docker daemon's answer makes no sense: expected {expected}, got {str(answer)[:SHOWN]}")
    return answer


def _normal(image_id: str) -> str:
    """Docker writes sha256:HEX, Podman HEX alone."""
    return image_id if image_id.startswith("sha256:") else f"sha256:{image_id}"


# What is meant for the web, and `requests` has win over the authority that DOCKER_CERT_PATH has for the daemon.
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@contextmanager
def connect(address: str | None, timeout: float) -> Iterator[Any]:
    """The SDK's client, TLS as DOCKER_TLS_VERIFY and DOCKER_CERT_PATH say; its errors become ours, in one line."""
    import docker
    import requests

    from quern.engine_sdk import client_of

    where = address or DEFAULT_ADDRESS
    environment = {**os.environ, "DOCKER_HOST": where}
    try:
        with _without(*(() if _is_plain(where) else AUTHORITIES)):
            client = client_of(environment, timeout, where.startswith("ssh:"))
            with closing(client):
                yield client
    except docker.errors.APIError as error:  # ImageNotFound too
        raise EngineError(f"docker daemon at {where}: {one_line(error.explanation or error)}") from error
    except docker.errors.ImageLoadError as error:
        raise EngineError(f"docker daemon at {where} cannot load the image: {one_line(error)}") from error
    except requests.exceptions.Timeout as error:
        raise EngineSilent(f"docker daemon at {where} does not answer within {timeout:g} s") from error
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        if isinstance(error.__cause__, requests.exceptions.Timeout):  # of the version, which the SDK asks first
            raise EngineSilent(f"docker daemon at {where} does not answer within {timeout:g} s") from error
        raise EngineUnavailable(f"no docker daemon at {where}: {one_line(error)}") from error


@contextmanager
def _without(*variables: str) -> Iterator[None]:
    """While inside, the environment has none of these."""
    kept = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _get(address: str, path: str, timeout: float) -> tuple[int, bytes]:
    """Status and body of a GET over the Unix or TCP socket of `address`, within `timeout` seconds in all.

    HTTP/1.0, so the answer is neither chunked nor kept open: it ends where the connection does.
    """
    deadline = monotonic() + timeout
    request = f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode()
    try:
        with _connected(address, timeout) as connection:
            answer = _exchange(connection, request, deadline)
    except (TimeoutError, BlockingIOError):  # the latter: its backlog is full
        raise EngineSilent(f"docker daemon at {address} does not answer within {timeout:g} s") from None
    except (OSError, ValueError, OverflowError) as error:  # the latter two: no host name, no port
        if isinstance(error, PermissionError) and address.startswith("unix://"):
            file = address.removeprefix("unix://")
            raise EngineUnavailable(f"no permission to use {file} (are you in the group docker?)") from None
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise EngineUnavailable(f"no docker daemon at {address}: {reason}") from None
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit() or len(words[1]) != 3:
        raise EngineError(f"what listens at {address} does not speak HTTP")
    return int(words[1]), body


def _is_plain(address: str) -> bool:
    """Whether a daemon is spoken to without TLS or ssh. tcp is TLS where the SDK finds a wish for it, as below."""
    if address.startswith("unix://"):
        return True
    host, _, port = address.removeprefix("tcp://").rstrip("/").rpartition(":")
    tls = os.environ.get("DOCKER_TLS_VERIFY") or os.environ.get("DOCKER_CERT_PATH")
    return address.startswith("tcp://") and not tls and bool(host) and port.isdecimal()


@contextmanager
def _connected(address: str, timeout: float) -> Iterator[socket.socket]:
    """A connection to a plain `address`. Raises OSError; ValueError or OverflowError for an odd host or port."""
    import socket

    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(address.removeprefix("unix://"))
            yield connection
        return
    host, _, port = address.removeprefix("tcp://").rstrip("/").rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout) as connection:
        yield connection


def _exchange(connection: socket.socket, request: bytes, deadline: float) -> bytes:
    """All that comes back on `request`; TimeoutError at `deadline` (monotonic), however busily the other side drips.

    Raises EngineError if it is more than ANSWER.
    """
    connection.sendall(request)
    answer = b""
    while (left := deadline - monotonic()) > 0:
        connection.settimeout(left)
        piece = connection.recv(1 << 16)
        if not piece:
            return answer
        answer += piece
        if len(answer) > ANSWER:
            raise EngineError(f"what listens there answers with more than {ANSWER >> 20} MiB")
    raise TimeoutError
