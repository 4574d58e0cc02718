"""One source file over real connections: what servers, proxies and links in the folder can and cannot do."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.fetching import download, web
from quern.fetching.download import Attempt, Downloader, Failed
from quern.fetching.folder import ASIDE, PARTIAL, RECORD, Partial
from quern.fetching.manifest import Expected
from quern.fetching.uris import Place
from quern.fetching.web import Web
from tests.conftest import tool
from tests.projects import write
from tests.servers import Asked, Write, answer, answering, closed_port, in_turn, resumable, serving

BODY = b"what the Manifest says\n" * 5000
OTHER = b"x" * len(BODY)


def described(body: bytes) -> Expected:
    digests = {"BLAKE2B": hashlib.blake2b(body).hexdigest(), "SHA512": hashlib.sha512(body).hexdigest()}
    return Expected(len(body), digests)


class Folder:
    """A folder of sources, into which `file` is fetched."""

    def __init__(self, path: Path, **environment: str) -> None:
        self.path = path
        self.downloader = Downloader(Web(environment), lambda: None)

    def fetch(self, *urls: str, body: bytes = BODY) -> list[Attempt]:
        """Fetch the file from the first address that has it; returns what was tried in vain if none has."""
        expected = described(body)
        with Partial(self.path, "file", expected, lambda: None) as partial:
            try:
                self.downloader.download("file", expected, [Place(url) for url in urls], partial)
            except Failed as failed:
                return list(failed.attempts)
            partial.finish()
            return []

    def why(self, url: str, body: bytes = BODY) -> str:
        """Why the file cannot be had from an address."""
        (attempt,) = self.fetch(url, body=body)
        assert not (self.path / "file").exists()
        return attempt.why

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir() if path.name != RECORD}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "sources").mkdir()
    return Folder(tmp_path / "sources")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder to serve, with the file."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/file").write_bytes(BODY)
    return tmp_path / "files"


def test_a_file(folder: Folder, files: Path) -> None:
    with serving(files) as (address, asked):
        assert folder.fetch(f"{address}/file") == []
    assert asked == ["/file"]
    assert folder.files == {"file": BODY}
    made = (folder.path / "file").stat()
    assert (folder.path / RECORD).read_text() == f"{made.st_ino} {made.st_mtime_ns} file\n"


def test_its_mode_does_not_depend_on_the_umask(folder: Folder, files: Path) -> None:
    """`cp` in an ebuild keeps it."""
    umask = os.umask(0o077)
    try:
        with serving(files) as (address, _):
            assert folder.fetch(f"{address}/file") == []
    finally:
        os.umask(umask)
    assert (folder.path / "file").stat().st_mode & 0o777 == 0o644


def test_the_next_address(folder: Folder, files: Path) -> None:
    with serving(files) as (address, asked):
        assert folder.fetch(f"{address}/absent", "sftp://a/b", f"{address}/file") == []
    assert asked == ["/absent", "/file"]
    assert folder.files == {"file": BODY}


def test_every_address_is_told_with_its_reason(folder: Folder, files: Path) -> None:
    port = closed_port()
    with serving(files) as (address, _):
        assert folder.fetch(
            f"{address}/absent", f"http://127.0.0.1:{port}/file", "sftp://host/file", "http://[::1", "http://absent.invalid/x"
        ) == [
            Attempt(f"{address}/absent", "404 File not found"),
            Attempt(f"http://127.0.0.1:{port}/file", "Connection refused"),
            Attempt("sftp://host/file", "sftp is not fetched: only http, https, ftp and file addresses are"),
            Attempt("http://[::1", "no address: Invalid IPv6 URL"),
            Attempt("http://absent.invalid/x", "Name or service not known"),
        ]  # fmt: skip
    assert folder.files == {}


def test_a_dead_host_is_tried_once(folder: Folder) -> None:
    host = f"127.0.0.1:{closed_port()}"
    assert folder.why(f"http://{host}/one") == "Connection refused"
    assert folder.why(f"http://me:secret@{host}/two") == f"{host} did not answer before"


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.0 200 OK\r\nContent-Length: 115000\r\n\r\nwhat"])
def test_a_connection_that_is_cut_off(folder: Folder, files: Path, sent: bytes) -> None:
    """Once is no failure, before the answer or in the middle of it, and the host is not dead."""
    with serving(files, cut=[sent]) as (address, asked):
        assert folder.fetch(f"{address}/file") == []
        (folder.path / "file").unlink()
        assert folder.fetch(f"{address}/file") == []
    assert asked == ["/file", "/file"]


def test_a_connection_that_is_cut_off_twice(folder: Folder, files: Path) -> None:
    with serving(files, cut=[b""] * 3) as (address, asked):
        assert folder.why(f"{address}/file") == "the connection was closed early"
        assert folder.why(f"{address}/file").endswith("did not answer before")
    assert asked == []


def test_a_host_with_one_file_that_is_cut_short_is_not_dead(folder: Folder) -> None:
    pages = {"/cut": answer("200 OK", BODY[:100], Content_Length=""), "/file": resumable(BODY)}
    with answering(pages) as (address, _):
        (attempt,) = folder.fetch(f"{address}/cut")
        assert attempt.why == f"the connection was closed after 100 of {len(BODY)} bytes"
        assert folder.fetch(f"{address}/file") == []
    assert folder.files == {"file": BODY}


def test_a_file_is_continued(folder: Folder) -> None:
    """After the connection was dropped, at the next address, and in the next run."""
    half = answer("200 OK", BODY[:50_000], Content_Length=str(len(BODY)))
    pages = {"/one": half, "/two": in_turn(half, resumable(BODY))}
    with answering(pages) as (address, asked):
        assert folder.fetch(f"{address}/one")
        assert folder.files == {f"file{PARTIAL}": BODY[:50_000]}
        folder.downloader = Downloader(Web({}), lambda: None)
        assert folder.fetch(f"{address}/two") == []
    assert folder.files == {"file": BODY}
    assert [each.headers.get("range") for each in asked] == [None, "bytes=50000-", "bytes=50000-", "bytes=50000-"]


def test_a_server_that_knows_no_ranges(folder: Folder) -> None:
    write(folder.path, {f"file{PARTIAL}": "rubbish"})
    with answering({"/file": answer("200 OK", BODY)}) as (address, _):
        assert folder.fetch(f"{address}/file") == []
    assert folder.files == {"file": BODY}


@pytest.mark.parametrize("there", [OTHER[:500], OTHER, OTHER + b"x"])
def test_what_is_there_is_no_part_of_the_file(folder: Folder, there: bytes) -> None:
    """It is found out at the end, and the file is fetched again from its beginning."""
    (folder.path / f"file{PARTIAL}").write_bytes(there)
    with answering({"/file": resumable(BODY)}) as (address, _):
        assert folder.fetch(f"{address}/file") == []
    assert folder.files == {"file": BODY}


def test_a_complete_file_that_was_not_renamed(folder: Folder) -> None:
    (folder.path / f"file{PARTIAL}").write_bytes(BODY)
    assert folder.fetch("http://absent.invalid/file") == []
    assert folder.files == {"file": BODY}


def test_a_part_that_was_not_asked_for(folder: Folder) -> None:
    (folder.path / f"file{PARTIAL}").write_bytes(BODY[:100])
    wrong = answer("206 Partial Content", BODY[90:], Content_Range=f"bytes 90-{len(BODY) - 1}/{len(BODY)}")
    with answering({"/file": in_turn(wrong, answer("200 OK", BODY))}) as (address, _):
        assert folder.fetch(f"{address}/file") == []
    assert folder.files == {"file": BODY}


def test_another_file(folder: Folder) -> None:
    """Of the same size: found by its digest; of another one: before its body is read."""
    pages = {"/same": answer("200 OK", OTHER), "/size": answer("200 OK", b"<html>gone</html>")}
    with answering(pages) as (address, asked):
        assert folder.fetch(f"{address}/same", f"{address}/size") == [
            Attempt(f"{address}/same", "its BLAKE2B is not that of its Manifest", other=True),
            Attempt(f"{address}/size", f"has 17 bytes; its Manifest says {len(BODY)}", other=True),
        ]
    assert folder.files == {}
    assert len(asked) == 2


def test_one_digest_of_several_that_differs(folder: Folder, files: Path) -> None:
    expected = described(BODY)
    expected = Expected(len(BODY), {**expected.digests, "SHA512": "0" * 128})
    partial = Partial(folder.path, "file", expected, lambda: None)
    with serving(files) as (address, _), partial, pytest.raises(Failed) as error:
        folder.downloader.download("file", expected, [Place(f"{address}/file")], partial)
    assert error.value.attempts[0].why == "its SHA512 is not that of its Manifest"


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content"])
def test_a_body_without_end_is_cut_off(folder: Folder, status: str) -> None:
    """At the first byte too many; what a server says of the length is not believed."""
    sent = list[int]()
    ended = threading.Event()

    def endless(asked: Asked, write: Write) -> None:
        write(f"HTTP/1.1 {status}\r\nContent-Range: bytes 100-200/*\r\nConnection: close\r\n\r\n".encode())
        try:
            while True:
                write(b"x" * 65536)
                sent.append(65536)
        except OSError:
            ended.set()

    (folder.path / f"file{PARTIAL}").write_bytes(BODY[:100] if status.startswith("206") else b"")
    with answering({"/file": endless}) as (address, _):
        assert folder.why(f"{address}/file") == f"has more than the {len(BODY)} bytes that its Manifest says"
        assert ended.wait(10)
    assert folder.files == {}
    assert sum(sent) < 20e6  # buffers of the kernel


def test_bytes_are_taken_as_they_are(folder: Folder) -> None:
    """A `.tar.gz` that a server calls encoded is not decoded; so none can grow."""
    import gzip

    packed = gzip.compress(b"\0" * 1_000_000, mtime=0)
    with answering({"/file": answer("200 OK", packed, Content_Encoding="gzip")}) as (address, asked):
        assert folder.fetch(f"{address}/file", body=packed) == []
    assert folder.files == {"file": packed}
    assert asked[0].headers["accept-encoding"] == "identity"


def test_chunks(folder: Folder) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:])) + b"0\r\n\r\n"
    page = answer("200 OK", chunks, Transfer_Encoding="chunked", Content_Length="")
    with answering({"/file": page}) as (address, _):
        assert folder.fetch(f"{address}/file") == []
    assert folder.files == {"file": BODY}


def test_an_empty_file(folder: Folder) -> None:
    assert folder.fetch(body=b"") == []
    assert folder.files == {"file": b""}


def test_what_is_no_http(folder: Folder) -> None:
    with answering({"/file": lambda asked, write: write(b"SSH-2.0-OpenSSH\r\n")}) as (address, _):
        assert folder.why(f"{address}/file") == "the connection was closed early"


def test_a_server_that_is_silent(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ", 0.3)
    with answering({"/file": lambda asked, write: time.sleep(2)}) as (address, asked):
        assert folder.why(f"{address}/file") == "sent nothing for 0.3 seconds"
    assert len(asked) == 2


def test_a_server_that_is_slower_than_is_worth_waiting_for(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "READ", 0.5)

    def drip(asked: Asked, write: Write) -> None:
        write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n\r\n".encode())
        for _ in range(30):
            write(b"w")
            time.sleep(0.1)

    with answering({"/file": drip}) as (address, _):
        assert "bytes in 0.5 seconds" in folder.why(f"{address}/file")


def test_redirects(folder: Folder) -> None:
    """Relative ones, one after the other, and no more than ten."""
    pages = {
        "/a/one": answer("302 Found", Location="../two"),
        "/two": answer("301 Moved Permanently", Location="/file"),
        "/file": resumable(BODY),
        "/round": answer("302 Found", Location="/round"),
    }
    with answering(pages) as (address, asked):
        assert folder.fetch(f"{address}/a/one") == []
        (folder.path / "file").unlink()
        asked.clear()
        assert folder.why(f"{address}/round") == "more than 10 redirects"
    assert len(asked) == 10


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "gopher://host/x", "http://[::1"])
def test_where_no_redirect_leads(folder: Folder, tmp_path: Path, target: str) -> None:
    with answering({"/file": answer("302 Found", Location=target)}) as (address, _):
        assert folder.why(f"{address}/file").startswith("redirected to ")


def test_a_password_is_for_its_own_server_alone(folder: Folder) -> None:
    login = "Basic " + base64.b64encode(b"me:pa ss").decode()
    with answering({"/file": resumable(BODY)}) as (other, there):
        pages = {"/here": answer("302 Found", Location="/away"), "/away": answer("302 Found", Location=f"{other}/file")}
        with answering(pages) as (address, here):
            assert folder.fetch(f"{address.replace('//', '//me:pa%20ss@')}/here") == []
    assert [each.headers.get("authorization") for each in here] == [login, login]
    assert "authorization" not in there[0].headers


def test_no_message_has_a_password(folder: Folder) -> None:
    redirect = answer("302 Found", Location="ftp://me:secret@host/x")
    with answering({"/file": answer("401 Unauthorized"), "/away": redirect}) as (address, _):
        urls = [f"{address.replace('//', '//me:secret@')}/{name}" for name in ("file", "away")]
        attempts = folder.fetch(*urls, "http://me:secret@absent.invalid/x", "ftp://me:secret@absent.invalid/x")
    assert attempts[0] == Attempt(f"{address}/file", "401 Unauthorized")
    assert "secret" not in repr(attempts)


def test_a_proxy_is_obeyed(folder: Folder) -> None:
    """It is sent its own password, and the server's, but no address with one; hosts of no_proxy are asked directly."""
    with answering({"http://absent.invalid/file": resumable(BODY), "/file": resumable(BODY)}) as (proxy, asked):
        host = proxy.partition("//")[2]
        folder.downloader = Downloader(
            Web({"http_proxy": f"me:secret@{host}", "HTTP_PROXY": "ignored:1", "no_proxy": "127.0.0.1"}), lambda: None
        )
        assert folder.fetch("http://you:word@absent.invalid/file") == []
        (folder.path / "file").unlink()
        assert folder.fetch(f"{proxy}/file") == []
    assert [each.target for each in asked] == ["http://absent.invalid/file", "/file"]
    assert asked[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    assert asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"you:word").decode()
    assert "proxy-authorization" not in asked[1].headers


def test_a_proxy_of_another_kind(folder: Folder) -> None:
    folder.downloader = Downloader(Web({"all_proxy": "socks5://me:secret@127.0.0.1:9"}), lambda: None)
    (attempt,) = folder.fetch("http://absent.invalid/file")
    assert "socks5" in attempt.why
    assert "secret" not in attempt.why


def test_a_proxy_for_https(folder: Folder) -> None:
    with answering({"absent.invalid:443": answer("403 Forbidden")}) as (proxy, asked):
        folder.downloader = Downloader(Web({"HTTPS_PROXY": proxy}), lambda: None)
        assert folder.why("https://absent.invalid/file") == "the proxy: Tunnel connection failed: 403 Forbidden"
    assert [each.target for each in asked] == ["absent.invalid:443"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, a private authority, and `key.pem`, that of the server it vouches for."""
    folder = tmp_path_factory.mktemp("authority")
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -addext subjectAltName=IP:127.0.0.1"
    )
    argv = [str(tool("openssl", "openssl")), *words.split(), "-subj", "/CN=quern test"]
    argv += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run(argv, check=True, capture_output=True)
    return folder


@pytest.fixture
def secure(files: Path, authority: Path) -> Iterator[str]:
    """The address of a server whose certificate no usual authority has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    with serving(files, context) as (address, _):
        yield address


def test_an_unknown_authority_is_refused(folder: Folder, secure: str) -> None:
    assert folder.why(f"{secure}/file") == "its certificate is not trusted: self-signed certificate"


@pytest.mark.parametrize(
    "environment",
    [{"SSL_CERT_FILE": "{}/ca.pem"}, {"CURL_CA_BUNDLE": "{}/ca.pem"},
     {"SSL_CERT_FILE": "{}/ca.pem", "CURL_CA_BUNDLE": "/nowhere"}, {"SSL_CERT_DIR": "/nowhere:{}/folder"}],
)  # fmt: skip
def test_an_authority_of_the_user_s(folder: Folder, secure: str, authority: Path, environment: dict[str, str]) -> None:
    (authority / "folder").mkdir(exist_ok=True)
    (authority / "folder/mine.pem").write_bytes((authority / "ca.pem").read_bytes())
    subprocess.run([tool("openssl", "openssl"), "rehash", authority / "folder"], check=True)  # by these names alone
    folder = Folder(folder.path, **{name: text.format(authority) for name, text in environment.items()})
    assert folder.fetch(f"{secure}/file") == []


def test_an_authority_that_is_not_there(folder: Folder) -> None:
    with pytest.raises(BuildError, match=r"^SSL_CERT_FILE: /nowhere/ca.pem: No such file or directory$"):
        Folder(folder.path, SSL_CERT_FILE="/nowhere/ca.pem").fetch("https://127.0.0.1:9/")


def test_a_file_of_this_machine_is_copied(folder: Folder, files: Path) -> None:
    """Its name is percent-encoded in the URL (RFC 8089)."""
    (files / "a b").write_bytes(BODY)
    os.mkfifo(files / "pipe")
    for url in (f"file://{files}/file", f"file://localhost{files}/a%20b"):
        assert folder.fetch(url) == []
        (folder.path / "file").unlink()
    assert (files / "file").read_bytes() == BODY
    for url, why in {
        f"file://{files}/absent": "No such file or directory",
        f"file://other{files}/file": "other is another machine (RFC 8089)",
        "file:///dev/zero": "not a regular file, but a device",
        f"file://{files}/pipe": "not a regular file, but a pipe",
    }.items():
        assert folder.why(url) == why


class Ftp:
    """As much of a server as one file takes (RFC 959)."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.said = list[str]()

    def __call__(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rw", newline="") as stream:
            data = None

            def reply(text: str) -> None:
                stream.write(f"{text}\r\n")
                stream.flush()

            reply("220 ready")
            for line in stream:
                self.said.append(line.strip())
                verb, _, rest = line.strip().partition(" ")
                if verb == "EPSV":
                    data = socket.create_server(("127.0.0.1", 0))
                    reply(f"229 (|||{data.getsockname()[1]}|)")
                elif verb == "PASV":
                    data = socket.create_server(("127.0.0.1", 0))
                    port = data.getsockname()[1]
                    reply(f"227 (127,0,0,1,{port // 256},{port % 256})")
                elif verb == "RETR" and rest in self.files and data:
                    reply(f"150 ({len(self.files[rest])} bytes)")
                    with data, data.accept()[0] as sent:
                        sent.sendall(self.files[rest])
                    reply("226 done")
                elif verb in ("RETR", "PWD") or (verb == "CWD" and rest != "."):
                    reply("550 no such file")
                    if data:
                        data.close()
                else:
                    reply({"USER": "331 ?", "PASS": "230 !", "QUIT": "221 bye"}.get(verb, "200 fine"))


@contextmanager
def ftp(server: Ftp) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            while True:
                try:
                    connection = listening.accept()[0]
                except OSError:
                    return
                threading.Thread(target=server, args=(connection,), daemon=True).start()

        threading.Thread(target=run, daemon=True).start()
        yield f"ftp://me:word@127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_ftp(folder: Folder) -> None:
    server = Ftp({"file": BODY})
    with ftp(server) as address:
        assert folder.fetch(f"{address}/file") == []
        assert "PASS word" in server.said
        (folder.path / "file").unlink()
        (attempt,) = folder.fetch(f"{address}/absent")
        assert "550 no such file" in attempt.why
        assert "word" not in attempt.url
    assert folder.why(f"ftp://127.0.0.1:{closed_port()}/x") == "Connection refused"


def test_ftp_by_a_proxy(folder: Folder) -> None:
    folder.downloader = Downloader(Web({"ftp_proxy": "http://127.0.0.1:9"}), lambda: None)
    assert folder.why("ftp://absent.invalid/file") == "ftp is not fetched through a proxy"


LAYOUT = "[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n"


def test_a_mirror_of_gentoo_is_asked_for_its_layout_once(folder: Folder) -> None:
    name = hashlib.blake2b(b"file").hexdigest()[:2]
    pages = {
        "/g/distfiles/layout.conf": answer("200 OK", LAYOUT.encode()),
        f"/g/distfiles/{name}/file": resumable(BODY),
    }
    with answering(pages) as (address, asked):
        for _ in range(2):
            expected = described(BODY)
            with Partial(folder.path, "file", expected, lambda: None) as partial:
                folder.downloader.download("file", expected, [Place(f"{address}/g/", True)], partial)
                partial.clear()
    assert [each.target for each in asked] == ["/g/distfiles/layout.conf", *[f"/g/distfiles/{name}/file"] * 2]


def test_an_old_mirror_has_no_layout(folder: Folder) -> None:
    pages = {"/distfiles/layout.conf": answer("404 Not Found"), "/distfiles/file": resumable(BODY)}
    with answering(pages) as (address, _):
        expected = described(BODY)
        with Partial(folder.path, "file", expected, lambda: None) as partial:
            folder.downloader.download("file", expected, [Place(address, True)], partial)


@pytest.mark.parametrize("name", [f"file{PARTIAL}", "file", RECORD])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_no_link_leads_out_of_the_folder(folder: Folder, files: Path, tmp_path: Path, name: str, link: object) -> None:
    """Not where the file is written, nor where it will be, nor where it is noted."""
    victim = tmp_path / "victim"
    victim.write_bytes(BODY[:10])
    link(victim, folder.path / name)  # type: ignore[operator]
    with serving(files) as (address, _):
        assert folder.fetch(f"{address}/file") == []
    assert victim.read_bytes().startswith(BODY[:10])
    if not (name == RECORD and link is os.link):  # which only has a line more: whoever can link it may write to it
        assert victim.read_bytes() == BODY[:10]
    assert (folder.path / "file").read_bytes() == BODY
    assert not (folder.path / "file").is_symlink()


def test_a_folder_in_the_place_of_a_file(folder: Folder) -> None:
    (folder.path / f"file{PARTIAL}").mkdir()
    with pytest.raises(BuildError, match=r"expected a file, got a folder; remove it$"):
        folder.fetch("http://absent.invalid/file")


def test_another_file_keeps_its_content_under_another_name(folder: Folder, files: Path) -> None:
    (folder.path / "file").write_bytes(b"mine")
    with serving(files) as (address, _):
        assert folder.fetch(f"{address}/file") == []
    (aside,) = folder.path.glob(f"file{ASIDE}*")
    assert (aside.read_bytes(), (folder.path / "file").read_bytes()) == (b"mine", BODY)


def test_two_processes_and_one_file(folder: Folder) -> None:
    """The second one waits, and finds it whole."""
    expected = described(BODY)
    waited = list[int]()
    with Partial(folder.path, "file", expected, lambda: None) as first:

        def wait() -> None:
            waited.append(1)
            if len(waited) == 2:
                first.write(BODY)
                first.finish()
                first.__exit__()

        with Partial(folder.path, "file", expected, wait) as second:
            assert second.size == 0
        first._descriptor = os.open(os.devnull, os.O_RDONLY)  # is closed once more
    assert len(waited) == 2
    assert folder.files == {"file": BODY}


def test_a_full_disk_is_no_address_s_fault(folder: Folder, files: Path) -> None:
    """The error names the file that could not be written."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with serving(files) as (address, _), pytest.raises(OSError, match="File too large") as error:
            folder.fetch(f"{address}/file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.value.filename == str(folder.path / f"file{PARTIAL}")


INTERRUPTED = """\
import sys
from pathlib import Path
from quern.fetching import sources
from quern.fetching.manifest import Expected
from quern.fetching.uris import Place, Places
from quern.fetching.web import Web
from quern.portage.plan import Package

package = Package("lab/a-1", "0", "0", "lab", (), (), (), False, "", {}, (), (), ())
source = sources.Source("file", (package,), Expected(1 << 40, {"MD5": "00"}))
for event in sources.fetch([source], {"file": Places((Place(sys.argv[1]),))}, Path(sys.argv[2]), Web({})):
    print(type(event).__name__, flush=True)
"""


def test_who_interrupts_does_not_wait_for_a_server(folder: Folder) -> None:
    """What has come stays, for the next run."""

    def stalls(asked: Asked, write: Write) -> None:
        write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY)
        time.sleep(60)

    with answering({"/file": stalls}) as (address, _):
        argv = [sys.executable, "-c", INTERRUPTED, f"{address}/file", str(folder.path)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "Begun\n"
            part, deadline = folder.path / f"file{PARTIAL}", time.monotonic() + 30
            while not (part.exists() and part.stat().st_size == len(BODY)):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=10)
        assert time.monotonic() - began < 5
    assert folder.files == {f"file{PARTIAL}": BODY}
