"""Portage's FETCHCOMMAND, with the real wget and servers on the loopback interface."""

from __future__ import annotations

import hashlib
import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.worker.fetch import NETWORK_FAILURE, PARTIAL, RECORD, TRIES, fetch
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import Lab, ebuild


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and notes what was asked for; cuts off the first connections after what is given for each."""

    def do_GET(self) -> None:
        if self.server.cut:  # type: ignore[attr-defined]
            self.wfile.write(self.server.cut.pop(0))  # type: ignore[attr-defined]
        else:
            super().do_GET()

    def log_request(self, *args: object) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(
    folder: Path, tls: ssl.SSLContext | None = None, cut: Sequence[bytes] = ()
) -> Iterator[tuple[str, list[str]]]:
    """The address of a server of `folder`, and the targets that it answered for; `cut` as the handler has it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        server.asked = asked = list[str]()  # type: ignore[attr-defined]
        server.cut = list(cut)  # type: ignore[attr-defined]
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


class Fetcher:
    """A run file, and what is fetched by it into one folder."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.run_file = folder / "fetch.json"
        environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", **environment}
        self.run_file.write_text(json.dumps({"wget": str(tool("wget", "wget")), "environment": environment}))

    def __call__(self, url: str) -> tuple[int, str | None]:
        """The exit status, and the file's text if there is a file."""
        target = self.folder / "fetched"
        target.unlink(missing_ok=True)
        status = fetch(str(self.run_file), url, str(target))
        return status, target.read_text() if target.exists() else None


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder to serve."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/file").write_text("content")
    return tmp_path / "files"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ca.pem`, a private authority, and `key.pem`, that of the server it vouches for."""
    folder = tmp_path_factory.mktemp("authority")
    argv = [str(tool("openssl", "openssl")), "req", "-x509", "-newkey", "ec"]
    argv += [
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=quern test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
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


def test_a_file(files: Path, tmp_path: Path) -> None:
    with serving(files) as (address, asked):
        assert Fetcher(tmp_path)(f"{address}/file") == (0, "content")
    assert asked == ["/file"]


def test_a_bad_status_leaves_no_file(files: Path, tmp_path: Path) -> None:
    """The host lives: another file of it is asked for."""
    fetcher = Fetcher(tmp_path)
    with serving(files) as (address, asked):
        status, text = fetcher(f"{address}/absent")
        assert status not in (0, NETWORK_FAILURE)
        assert text is None
        assert fetcher(f"{address}/file") == (0, "content")
    assert asked == ["/absent", "/file"]


def test_sources_that_were_fetched_are_noted(files: Path, tmp_path: Path) -> None:
    """By the names that Portage will give them, and nothing else: not what failed, nor a binary package."""
    run_file, sources = str(Fetcher(tmp_path).run_file), tmp_path / "sources"
    sources.mkdir()
    with serving(files) as (address, _):
        for name in (f"one.tar{PARTIAL}", f"two.tar{PARTIAL}", "a.gpkg.tar.partial"):
            assert fetch(run_file, f"{address}/file", str(sources / name)) == 0
        assert fetch(run_file, f"{address}/absent", str(sources / f"three.tar{PARTIAL}"))
    found = [(sources / f"{name}{PARTIAL}").stat() for name in ("one.tar", "two.tar")]
    lines = [f"{state.st_ino} {state.st_mtime_ns}" for state in found]
    assert (sources / RECORD).read_text() == f"{lines[0]} one.tar\n{lines[1]} two.tar\n"


def test_a_dead_host_is_tried_once(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fetcher = Fetcher(tmp_path)
    with serving(files) as (address, _):
        pass
    assert fetcher(f"{address}/one") == (NETWORK_FAILURE, None)
    assert "failed: Connection refused" in capfd.readouterr().err
    assert fetcher(f"{address}/two") == (NETWORK_FAILURE, None)
    assert capfd.readouterr() == (f"{address.partition('://')[2]} did not answer before; skipping {address}/two\n", "")


def test_a_file_of_this_machine_is_copied(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its name is percent-encoded in the URL (RFC 8089)."""
    fetcher = Fetcher(tmp_path)
    write(files, {"a b": "blank"})
    assert fetcher(f"file://{files}/file") == (0, "content")
    assert fetcher(f"file://localhost{files}/a%20b") == (0, "blank")
    assert (files / "file").read_text() == "content"
    assert fetcher(f"file://{files}/absent") == (1, None)
    assert fetcher(f"file://other{files}/file") == (1, None)
    assert fetcher("file:///dev/zero") == (1, None)
    assert capfd.readouterr().err.splitlines() == [
        f"copying {files}/absent failed: No such file or directory",
        f"copying {files}/file failed: other is another machine (RFC 8089)",
        "copying /dev/zero failed: not a regular file",
    ]


def test_a_dead_host_is_no_reason_against_urls_without_one(files: Path, tmp_path: Path) -> None:
    fetcher = Fetcher(tmp_path)
    with serving(files) as (address, _):
        pass
    assert fetcher(f"{address}/one") == (NETWORK_FAILURE, None)
    assert fetcher(f"file://{files}/file") == (0, "content")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\ncont"])
def test_a_connection_that_is_cut_off(files: Path, tmp_path: Path, sent: bytes) -> None:
    """Once is no failure, before the answer or in the middle of it, and the host is not dead."""
    fetcher = Fetcher(tmp_path)
    with serving(files, cut=[sent]) as (address, asked):
        assert fetcher(f"{address}/file") == (0, "content")
        assert fetcher(f"{address}/file") == (0, "content")
    assert asked == ["/file", "/file"]


@pytest.mark.emerge
def test_a_server_that_sends_nothing(lab: Lab, files: Path) -> None:
    with serving(files, cut=[b""] * TRIES) as (address, _), pytest.raises(BuildError) as error:
        build(lab, address)
    assert f"tried {address}/one.txt: No data received." in str(error.value)


def test_a_proxy_is_obeyed(files: Path, tmp_path: Path) -> None:
    with serving(files) as (address, asked):
        Fetcher(tmp_path, http_proxy=address)("http://example.invalid/file")
    assert asked == ["http://example.invalid/file"]


def test_an_unknown_authority_is_refused(secure: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, text = Fetcher(tmp_path)(f"{secure}/file")
    assert status not in (0, NETWORK_FAILURE)
    assert text is None
    assert "certificate" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "CURL_CA_BUNDLE"])
def test_an_authority_by_file(secure: str, authority: Path, tmp_path: Path, name: str) -> None:
    fetcher = Fetcher(tmp_path, **{name: str(authority / "ca.pem")})
    assert fetcher(f"{secure}/file") == (0, "content")


def test_ssl_cert_file_comes_first(secure: str, authority: Path, tmp_path: Path) -> None:
    fetcher = Fetcher(tmp_path, SSL_CERT_FILE=str(authority / "ca.pem"), CURL_CA_BUNDLE="/nowhere")
    assert fetcher(f"{secure}/file") == (0, "content")


def test_an_authority_by_folder(secure: str, authority: Path, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "mine.pem").write_bytes((authority / "ca.pem").read_bytes())
    subprocess.run([tool("openssl", "openssl"), "rehash", folder], check=True)  # for a wget with OpenSSL
    assert Fetcher(tmp_path, SSL_CERT_DIR=str(folder))(f"{secure}/file") == (0, "content")


RIGHT, OTHER = "what the Manifest says\n", "what upstream made of it\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image of one package, whose source `one.txt` is looked for at the address that `{address}` stands for."""
    tool("scanelf", "pax-utils")
    lab = Lab(tmp_path / "lab")
    content = RIGHT.encode()
    digests = f"BLAKE2B {hashlib.blake2b(content).hexdigest()} SHA512 {hashlib.sha512(content).hexdigest()}"
    manifest = f"DIST one.txt {len(content)} {digests}\n"
    write(lab.tree, {"profiles/image/packages": "lab/one\n", "lab/one/Manifest": manifest})
    return lab


def build(lab: Lab, address: str) -> None:
    """Build the image with its source at `address`; only from its ebuild, which is another one each time."""
    body = 'cp "${DISTDIR}/one.txt" "${ED}/usr/share/lab/one" || die'
    write(lab.tree, {"lab/one/one-1.ebuild": ebuild(f'SRC_URI="{address}/one.txt"\nsrc_unpack() {{ :; }}', body)})
    lab.build()


@pytest.mark.emerge
def test_a_file_that_changes_on_the_server(lab: Lab, files: Path) -> None:
    """Never in an image; what was fetched before is used, whatever the server has now."""
    fetched = lab.image.distfiles / "one.txt"
    write(files, {"one.txt": OTHER})
    with serving(files) as (address, asked):
        with pytest.raises(BuildError) as error:
            build(lab, address)
        assert str(error.value).startswith("one.txt of lab/one-1 is not the file that its Manifest describes\n")
        assert "Put the right one.txt into the distfiles folder" in str(error.value)
        assert not fetched.exists()
        write(files, {"one.txt": RIGHT})
        lab.build()
        assert lab.installed() == {"one": RIGHT.strip()}
        write(files, {"one.txt": OTHER})
        asked.clear()
        build(lab, f"{address}/.")
        assert lab.emerged() == ["lab/one-1"]
        assert asked == []
    assert fetched.read_text() == RIGHT


@pytest.mark.emerge
@pytest.mark.parametrize("content", [RIGHT[:7], OTHER + RIGHT])
def test_a_file_of_the_user_s_that_is_another_one(lab: Lab, files: Path, content: str) -> None:
    """Cut short, or wrong: fetched anew, and what was there is still there under another name, which is said."""
    write(files, {"one.txt": RIGHT})
    write(lab.image.distfiles, {"one.txt": content})
    with serving(files) as (address, _):
        build(lab, address)
    assert (lab.image.distfiles / "one.txt").read_text() == RIGHT
    (kept,) = lab.image.distfiles.glob("one.txt?*")
    assert kept.read_text() == content
    file = lab.image.distfiles / "one.txt"
    told = f"Warning: {file} is not what its Manifest describes; another was fetched, and that one is now {kept}"
    assert told in lab.said


@pytest.mark.emerge
def test_a_mirror_that_is_a_folder_of_this_machine(lab: Lab, files: Path) -> None:
    """Below a folder that confined commands have for themselves."""
    mirror = write(files / "my mirror", {"one.txt": RIGHT})
    url = f"file://{mirror}".replace(" ", "%20")
    text = (lab.folder / "lab.conf").read_text()
    write(lab.folder, {"lab.conf": text.replace("[portage]\n", f"[portage]\nmirrors = there={url}\n")})
    build(lab, "mirror://there/.")
    assert lab.installed() == {"one": RIGHT.strip()}
    assert (mirror / "one.txt").read_text() == RIGHT
