"""A daemon elsewhere, by TCP with TLS: one that wants a client's certificate stands before the tests' real one."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quern import engine, errors, oci
from tests.conftest import tool
from tests.dockerd import Dockerd
from tests.projects import write
from tests.trees import packed

pytestmark = pytest.mark.docker


def certify(folder: Path, *names: str) -> None:
    """A private authority, `ca.pem`, and for each name a certificate and a key that it vouches for."""
    folder.mkdir(exist_ok=True)
    openssl = str(tool("openssl", "openssl"))
    new = [openssl, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    commands = [[*new, "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca-key.pem", "-out", "ca.pem"]]
    for name in names:
        extensions = f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={name}Auth\n"
        write(folder, {f"{name}.ext": extensions})
        commands.append([*new, "-subj", f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr"])
        sign = [openssl, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem"]
        commands.append([*sign, "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem"])
    for command in commands:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)


class Forward(socketserver.BaseRequestHandler):
    """A connection that is passed on to the Unix socket `server.target`, with TLS on this side."""

    def handle(self) -> None:
        server: Any = self.server
        with (
            contextlib.suppress(OSError),
            server.context.wrap_socket(self.request, server_side=True) as near,
            socket.socket(socket.AF_UNIX) as far,
        ):
            far.connect(server.target)
            thread = threading.Thread(target=self.pump, args=(near, far))
            thread.start()
            self.pump(far, near)
            thread.join()

    @staticmethod
    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def address(dockerd: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The daemon's address, with the client's certificate where DOCKER_CERT_PATH says."""
    certify(tmp_path, "server", "client")
    for old, new in {"ca.pem": "ca.pem", "client.pem": "cert.pem", "client-key.pem": "key.pem"}.items():
        write(tmp_path / "certificates", {new: (tmp_path / old).read_text()})
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "certificates"))
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "ca.pem")
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server-key.pem")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as server:
        server.context, server.target = context, str(dockerd.socket)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def made(folder: Path) -> tuple[Path, oci.ArchiveInfo]:
    """An archive of a small image."""
    write(folder / "root", {"file": "content"})
    answer = packed(folder / "root", folder / "x.tar.gz", "gzip", 0)
    layer = oci.Layer(folder / "x.tar.gz", answer["digest"], answer["diff_id"], answer["size"], oci.LAYER_TYPES["gzip"])
    return folder / "x.tar", oci.write_archive(folder / "x.tar", layer, oci.ImageConfig(), "quern-test/far:1", 0)


@pytest.mark.parametrize("bundle", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", ""])
def test_load_and_tag(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: str) -> None:
    """Authorities for the web, which `requests` would rather believe, are not the daemon's."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if bundle:
        certify(tmp_path / "other")
        monkeypatch.setenv(bundle, str(tmp_path / "other/ca.pem"))
    archive, info = made(tmp_path)
    engine.ping(address)
    assert engine.load_and_tag(address, archive, ["quern-test/far:1"], info.ids) in info.ids
    assert engine.tagged_image_id(address, "quern-test/far:1", timeout=5) in info.ids


def test_a_stranger(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whom our authority does not vouch for is no daemon of ours."""
    certify(tmp_path / "other", "client")
    (tmp_path / "certificates/ca.pem").write_text((tmp_path / "other/ca.pem").read_text())
    with pytest.raises(errors.EngineUnavailable, match="CERTIFICATE_VERIFY_FAILED") as error:
        engine.ping(address)
    assert "\n" not in str(error.value)
