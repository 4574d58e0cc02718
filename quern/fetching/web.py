"""One request for one address: http and https by urllib3, ftp by the standard library, file from this machine.

Bytes are taken as they are sent: no Content-Encoding is undone. A redirect leads to http and https only.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from quern import __version__
from quern.fetching.environment import proxies, proxy_for, tls
from quern.fetching.uris import public
from quern.worker import regular
from quern.worker.special import instead

if TYPE_CHECKING:
    from urllib3 import HTTPResponse, PoolManager

CONNECT = 10  # seconds
READ = 60  # seconds without a byte
REDIRECTS = 10
REDIRECTED = (301, 302, 303, 307, 308)
SCHEMES = "http, https, ftp and file"
REASON = 200  # characters of what a server or a library says


class NotHad(Exception):
    """An address did not give the file; the text is why. `other` says that it gave another one."""

    def __init__(self, why: str, other: bool = False) -> None:
        super().__init__(why[:REASON])
        self.other = other


class Dropped(NotHad):
    """The connection ended early: what is there is kept, and the same address is worth another try."""


class Misfit(Dropped):
    """What is there cannot be continued with what the address has; from the beginning it may be."""


class Unreachable(NotHad):
    """The host does not answer: no address of it is worth a try."""


class Answer(NamedTuple):
    """What an address sends: bytes of the file from `start` on, of `size` in all if the server says so."""

    start: int
    size: int | None
    read: Callable[[int], bytes]


class Web:
    """Fetches with the proxies and certificate authorities of an environment; remembers hosts that do not answer.

    May be used by several threads at once.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._proxies = proxies(environment)
        self._dead = set[str]()
        self._pools = dict[str, "PoolManager"]()
        self._tls: ssl.SSLContext | None = None

    @contextmanager
    def open(self, url: str, start: int = 0) -> Iterator[Answer]:
        """Ask for the file at `url`, from byte `start` on, of which the answer may take no notice. Raises NotHad."""
        try:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2].lower()
        except ValueError as error:
            raise NotHad(f"no address: {error}") from None
        self._check(host)
        opener = {"http": self._http, "https": self._http, "ftp": self._ftp, "file": self._file}.get(parts.scheme)
        if opener is None:
            raise NotHad(f"{parts.scheme or 'this'} is not fetched: only {SCHEMES} addresses are")
        with opener(parts, start) as answer:
            yield answer

    def give_up(self, url: str) -> None:
        """Try no address of this host again."""
        if host := urlsplit(url).netloc.rpartition("@")[2].lower():
            self._dead.add(host)

    def _check(self, host: str) -> None:
        if host in self._dead:
            raise Unreachable(f"{host} did not answer before")

    @contextmanager
    def _http(self, parts: SplitResult, start: int) -> Iterator[Answer]:
        response = self._response(parts, start)
        try:
            yield _answer_of(response, start)
        finally:
            response.close()

    def _response(self, parts: SplitResult, start: int) -> HTTPResponse:
        """The answer to a request, redirects followed: never with a password to another host, never to a file."""
        for _ in range(REDIRECTS):
            host = parts.netloc.rpartition("@")[2].lower()
            self._check(host)
            try:
                with _reasons():
                    response = self._request(parts, start)
            except Unreachable:
                self._dead.add(host)
                raise
            target = response.headers.get("Location")
            if response.status not in REDIRECTED or not target:
                return response
            response.close()
            parts = _redirected(parts, target)
        raise NotHad(f"more than {REDIRECTS} redirects")

    def _request(self, parts: SplitResult, start: int) -> HTTPResponse:
        from urllib3 import Timeout, make_headers

        headers = make_headers(user_agent=f"quern/{__version__}", basic_auth=_login(parts))
        headers |= {"Accept": "*/*", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        response = self._pool(parts).request(
            "GET",
            public(urlunsplit(parts._replace(fragment=""))),  # a proxy is sent the whole address
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=CONNECT, read=READ),
        )
        return cast("HTTPResponse", response)

    def _pool(self, parts: SplitResult) -> PoolManager:
        """The connections of the proxy that is used for an address, or of none."""
        from urllib3 import PoolManager, ProxyManager, make_headers

        proxy = proxy_for(parts, self._proxies)
        if proxy not in self._pools:
            self._tls = self._tls or tls(self._environment)
            if proxy:
                address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
                headers = make_headers(proxy_basic_auth=_login(address))
                pool: PoolManager = ProxyManager(public(address.geturl()), proxy_headers=headers, ssl_context=self._tls)
            else:
                pool = PoolManager(ssl_context=self._tls)
            self._pools[proxy] = pool
        return self._pools[proxy]

    @contextmanager
    def _ftp(self, parts: SplitResult, start: int) -> Iterator[Answer]:
        """From its beginning in any case (RFC 959; RFC 1738, 3.2)."""
        import ftplib

        if proxy_for(parts, self._proxies):
            raise NotHad("ftp is not fetched through a proxy")
        with ftplib.FTP(timeout=CONNECT) as session:
            try:
                session.connect(parts.hostname or "", parts.port or ftplib.FTP_PORT)
            except (OSError, EOFError) as error:
                self.give_up(parts.geturl())
                raise Unreachable(_said(error)) from None
            try:
                session.login(unquote(parts.username or ""), unquote(parts.password or ""))
                session.voidcmd("TYPE I")
                data, size = session.ntransfercmd(f"RETR {unquote(parts.path.lstrip('/').partition(';')[0])}")
            except (ftplib.Error, OSError, EOFError, ValueError) as error:
                raise NotHad(_said(error)) from None
            with data, data.makefile("rb") as stream:
                yield Answer(0, size, _reading(stream.read1))

    @contextmanager
    def _file(self, parts: SplitResult, start: int) -> Iterator[Answer]:
        """A file of this machine (RFC 8089); its name is percent-encoded."""
        if parts.netloc not in ("", "localhost"):
            raise NotHad(f"{parts.netloc} is another machine (RFC 8089)")
        try:
            file = _opened(unquote(parts.path))
        except OSError as error:
            raise NotHad(error.strerror or str(error)) from None
        with file:
            yield Answer(0, os.fstat(file.fileno()).st_size, file.read)


def _opened(path: str) -> BinaryIO:
    if kind := instead(path):  # a device or a pipe may have no end
        raise OSError(None, f"not a regular file, but {kind}")
    return regular.opened(os.path.realpath(path))


def _answer_of(response: HTTPResponse, start: int) -> Answer:
    """The body of a response. Raises NotHad where it is none of a file."""
    read = _reading(partial(response.read1, decode_content=False))
    if response.status == 200:
        return Answer(0, _number(response.headers.get("Content-Length")), read)
    if response.status == 206:  # RFC 9110, 14.4: bytes FIRST-LAST/SIZE
        found = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", response.headers.get("Content-Range", ""))
        if found and _number(found[1]) == start:
            return Answer(start, _number(found[2]), read)
        raise Misfit("sent another part of the file than was asked for")
    if response.status == 416 and start:
        raise Misfit("has less of the file than is here")
    raise NotHad(f"{response.status} {response.reason or ''}".rstrip())


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]{1,18}", text) else None


def _reading(read1: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Read what has come, up to a number of bytes; nothing at the end."""

    def read(size: int) -> bytes:
        with _reasons():
            return read1(size)

    return read


@contextmanager
def _reasons() -> Iterator[None]:
    """While inside, what urllib3 and the network raise is raised as what it means for us."""
    from urllib3 import exceptions as of

    try:
        yield
    except (of.NewConnectionError, of.ConnectTimeoutError) as error:
        timed_out = f"no connection within {CONNECT} seconds"
        raise Unreachable(_said(error.__cause__) if isinstance(error, of.NewConnectionError) else timed_out) from None
    except of.ProxyError as error:
        raise Unreachable(f"the proxy: {_said(error.original_error)}") from None
    except of.SSLError as error:
        raise NotHad(_said(error)) from None
    except (of.ReadTimeoutError, TimeoutError):
        raise Dropped(f"sent nothing for {READ} seconds") from None
    except (of.ProtocolError, ConnectionError, EOFError):
        raise Dropped("the connection was closed early") from None
    except (of.HTTPError, ValueError) as error:  # an answer that is no HTTP, an address that is none
        raise NotHad(_said(error)) from None


def _said(error: BaseException | str | None) -> str:
    """An error in one line, in the words of the system where it has some, without the objects around it."""
    while isinstance(error, Exception) and not getattr(error, "strerror", None):
        inner = error.__cause__ or next((each for each in error.args if isinstance(each, Exception)), None)
        if inner is None:
            break
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    text = getattr(error, "strerror", None) or str(error)
    return re.sub(r"\s+", " ", text).strip() or type(error).__name__


def _login(parts: SplitResult) -> str | None:
    """The user and password in an address, as `make_headers` takes them."""
    return f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if "@" in parts.netloc else None


def _redirected(parts: SplitResult, target: str) -> SplitResult:
    """Where a redirect leads; user and password go along to the same server only."""
    try:
        found = urlsplit(urljoin(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])), target))
        same = (found.scheme, found.hostname, found.port) == (parts.scheme, parts.hostname, parts.port)
    except ValueError:
        raise NotHad("redirected to what is no address") from None
    if found.scheme not in ("http", "https") or not found.hostname:
        raise NotHad(f"redirected to {public(found.geturl())}, which is no http or https address")
    return found._replace(netloc=parts.netloc) if same else found
