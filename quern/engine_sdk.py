"""The docker SDK's client, but that an answer is limited in size, depth and time, whatever daemon gives it.

Imported where the SDK is needed: it takes 0.13 s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import docker
import requests
from docker.utils import kwargs_from_env

from quern import untrusted_json
from quern.errors import EngineError, one_line

if TYPE_CHECKING:
    from http.client import HTTPResponse

PIECE = 1 << 16
WORDS = 1 << 30  # bytes of progress at most, while an image is loaded


class _Api(docker.APIClient):  # type: ignore[misc]  # the SDK ships no types
    """Reads every answer itself."""

    def get_redirect_target(self, response: requests.Response) -> None:
        """Follow none: an engine has none, and requests would read all that comes with it."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # noqa: ANN401
        """See requests.Session."""
        request.headers["Accept-Encoding"] = "identity"
        response: requests.Response = super().send(request, **{**options, "stream": True})
        if options.get("stream") and response.status_code < 300:
            return response
        data = b"".join(pieces(response, untrusted_json.SIZE, options.get("timeout")))
        response.raw.release_conn()
        if response.status_code >= 300:
            data = json.dumps({"message": explanation(data)}).encode()
        checked(data)
        response._content, response._content_consumed = data, True
        return response


def client_of(environment: Mapping[str, str], timeout: float, ssh: bool) -> Any:  # noqa: ANN401
    """A client for what DOCKER_HOST and the like in `environment` say."""
    client = docker.DockerClient.__new__(docker.DockerClient)
    try:
        client.api = _Api(timeout=timeout, use_ssh_client=ssh, **kwargs_from_env(environment=environment))
    except (TypeError, ValueError) as error:  # of a version that is none
        raise docker.errors.DockerException(f"expected a version, {error}") from None
    return client


def load(client: Any, stream: Any) -> list[str]:  # noqa: ANN401
    """Load an archive, and return what the daemon calls the images in it."""
    api, found = client.api, []
    address = f"{api.base_url}/v{api.api_version}/images/load"
    with api.post(address, data=stream, timeout=api.timeout, stream=True) as response:
        if response.status_code != 200:
            raise docker.errors.ImageLoadError(response.json()["message"])
        for line in _lines(pieces(response, WORDS, None)):
            word = checked(line)
            if not isinstance(word, dict):
                raise EngineError(f"the docker daemon answers {one_line(line.decode(errors='replace'))[:200]!r}")
            if "errorDetail" in word or "error" in word:
                raise docker.errors.ImageLoadError(explanation(line))
            said = str(word.get("stream", ""))
            for begin in ("Loaded image ID: ", "Loaded image: "):
                if said.startswith(begin):
                    found.append(said.removeprefix(begin).strip())
                    break
    return found


def checked(data: bytes) -> Any:  # noqa: ANN401
    """The value of an answer, None if it is no JSON. Raises EngineError if it is too big or too deep."""
    try:
        return untrusted_json.parse(data)
    except untrusted_json.Excessive as error:
        raise EngineError(f"the docker daemon answers with {error}") from None
    except ValueError:
        return None


def explanation(data: bytes) -> str:
    """What an answer says of an error."""
    value = checked(data)
    if isinstance(value, dict):
        detail = value.get("errorDetail")
        found = detail.get("message") if isinstance(detail, dict) else None
        value = found or value.get("message", value.get("error"))
    return value if isinstance(value, str) else one_line(data[:200].decode(errors="replace"))


def pieces(response: requests.Response, limit: int, timeout: float | None) -> Iterator[bytes]:
    """The answer as it comes, within `timeout` seconds in all.

    Raises EngineError for more than `limit` bytes, requests' ReadTimeout for more than that time.
    """
    deadline = monotonic() + timeout if timeout else None
    source = cast("HTTPResponse", response.raw._fp)
    while piece := _piece(source):
        limit -= len(piece)
        if limit < 0:
            raise EngineError("the docker daemon answers with more than it has to say")
        yield piece
        if deadline and monotonic() > deadline:
            raise requests.exceptions.ReadTimeout(f"no end after {timeout:g} s")


def _piece(source: HTTPResponse) -> bytes:
    """What is there, b"" at the end; errors as requests has them."""
    try:
        return source.read1(PIECE)
    except TimeoutError as error:
        raise requests.exceptions.ReadTimeout(error) from None
    except (HTTPException, OSError, ValueError) as error:  # the latter: of a chunk's size
        raise requests.exceptions.ConnectionError(error) from None


def _lines(found: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in found:
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(bytes.strip, whole)
        if len(rest) > untrusted_json.SIZE:
            break
    if rest.strip():
        yield rest
