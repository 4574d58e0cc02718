"""quern.engine against a real daemon, and against everything else that may listen on a socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quern import engine, errors, oci
from quern.worker.compare import compare
from tests.conftest import needs_root, tool
from tests.dockerd import Dockerd
from tests.trees import CAPABILITY, add_special, make_tree, packed

PROGRAM = """
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) puts(argv[i]);
    printf("uid %d\\n", getuid());
    return 0;
}
"""


@contextmanager
def listener(tmp_path: Path, answer: bytes | None, *, drip: float = 0, kind: str = "unix") -> Iterator[str]:
    """A daemon that answers every request with `answer`, a byte each `drip` seconds if set; None: never."""
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as server:
        server.bind(str(tmp_path / "s") if kind == "unix" else ("127.0.0.1", 0))
        server.listen(8)
        server.settimeout(5)
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                pieces = [answer] if not drip else [bytes([byte]) for byte in answer or b""]
                for piece in pieces:
                    if piece is None or done.wait(drip):
                        done.wait(5)
                        return
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{tmp_path}/s" if kind == "unix" else f"tcp://127.0.0.1:{server.getsockname()[1]}"
        done.set()
        thread.join()


def answer(status: str, body: object) -> bytes:
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}".encode()


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("image_id", ["sha256:abc", "abc"])
def test_id_of_docker_and_of_podman(tmp_path: Path, image_id: str, kind: str) -> None:
    with listener(tmp_path, answer("200 OK", {"Id": image_id}), kind=kind) as address:
        assert engine.tagged_image_id(address, "name:1") == "sha256:abc"


def test_no_such_image(tmp_path: Path) -> None:
    with listener(tmp_path, answer("404 Not Found", {"message": "No such image: name:1"})) as address:
        assert engine.tagged_image_id(address, "name:1") is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (answer("500 Oops", {"message": "disk on fire"}), "status 500: disk on fire"),
        (answer("500 Oops", ["?"]), "status 500"),
        (b"HTTP/1.0 200 OK\r\n\r\nnot JSON", "status 200: not JSON"),
        (answer("200 OK", {}), "status 200"),
        (b"SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP"),
    ],
)
def test_answers_that_make_no_sense(tmp_path: Path, said: bytes, message: str) -> None:
    with listener(tmp_path, said) as address, pytest.raises(errors.EngineError, match=message) as caught:
        engine.tagged_image_id(address, "name:1")
    assert not isinstance(caught.value, errors.EngineUnavailable)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("drip", [0, 0.05])
def test_a_daemon_that_hangs_or_drips(tmp_path: Path, drip: float, kind: str) -> None:
    said = answer("200 OK", {"Id": "sha256:abc"}) if drip else None
    with listener(tmp_path, said, drip=drip, kind=kind) as address:
        before = time.monotonic()
        with pytest.raises(errors.EngineSilent, match=r"does not answer within 0\.3 s"):
            engine.tagged_image_id(address, "name:1", timeout=0.3)
        assert time.monotonic() - before < 2


def test_a_daemon_whose_backlog_is_full(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as first:
        server.bind(str(tmp_path / "s"))
        server.listen(0)
        first.connect(str(tmp_path / "s"))
        with pytest.raises(errors.EngineSilent):
            engine.ping(f"unix://{tmp_path}/s", timeout=0.3)


@pytest.mark.parametrize("name", ["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"])
def test_tls_is_the_sdk_s_and_as_impatient(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked = []

    @contextmanager
    def client(address: str | None, timeout: float) -> Iterator[None]:
        asked.append((address, timeout))
        raise errors.EngineSilent("silent")
        yield

    monkeypatch.setattr(engine, "connect", client)
    monkeypatch.setenv(name, "1")
    for address in ("tcp://127.0.0.1:9", "ssh://host", "tcp://host:1/path"):
        with pytest.raises(errors.EngineSilent):
            engine.ping(address, timeout=0.3)
        with pytest.raises(errors.EngineSilent):
            engine.tagged_image_id(address, "name:1", timeout=0.4)
        assert asked == [(address, 0.3), (address, 0.4)]
        asked.clear()


def test_the_sdk_s_client_has_the_time_that_it_is_given(tmp_path: Path) -> None:
    with listener(tmp_path, None, kind="tcp") as address:
        before = time.monotonic()
        with (
            pytest.raises(errors.EngineSilent, match=r"does not answer within 0\.3 s"),
            engine.connect(address, 0.3) as client,
        ):
            client.ping()
        assert time.monotonic() - before < 3  # the import included


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "tcp://[::1]:9/", "tcp://127.0.0.1:99999", "tcp://a..b:1"])
def test_no_daemon_by_tcp(address: str) -> None:
    for ask in (engine.ping, lambda address: engine.tagged_image_id(address, "name:1")):
        with pytest.raises(errors.EngineUnavailable, match="no docker daemon at tcp://") as caught:
            ask(address)
        assert "\n" not in str(caught.value)


def test_no_daemon(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nothing", "file", "x" * 200):
        for ask in (engine.ping, lambda address: engine.tagged_image_id(address, "name:1")):
            with pytest.raises(errors.EngineUnavailable, match="no docker daemon at unix://"):
                ask(f"unix://{tmp_path}/{name}")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "unix:///nowhere/docker.sock", "nonsense://x"])
def test_no_daemon_by_the_sdk_is_one_line(tmp_path: Path, address: str) -> None:
    with pytest.raises(errors.EngineUnavailable) as caught:
        engine.load_and_tag(address, tmp_path / "x", ["name:1"], ["sha256:0"])
    assert str(caught.value).startswith(f"no docker daemon at {address}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reference", ["a b:1", "a\r\nX: y:1", "é:1", "a%2f:1"])
def test_a_name_cannot_leave_the_request_line(reference: str) -> None:
    with pytest.raises(errors.EngineError, match="cannot be the name of an image"):
        engine.tagged_image_id(None, reference)


def test_asking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from quern import engine\n"
        "before = set(sys.modules); assert 'socket' not in before\n"
        "for address in ('unix:///nowhere', 'tcp://127.0.0.1:9'):\n"
        "    try: engine.tagged_image_id(address, 'a:1')\n"
        "    except engine.EngineUnavailable: pass\n"
        "heavy = {'docker', 'requests', 'urllib.request', 'http', 'ssl', 'email', 'logging', 'tempfile'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True
    )
    assert ran.stdout == "\n"


@pytest.fixture(scope="session")
def small_layer(tmp_path_factory: pytest.TempPathFactory) -> oci.Layer:
    """A root that can run: one static program."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "root").mkdir()
    compiler = tool("gcc", "gcc libc6-dev")
    echo = folder / "root/echo"
    subprocess.run([compiler, "-static", "-x", "c", "-", "-o", str(echo)], input=PROGRAM.encode(), check=True)
    os.setxattr(echo, "security.capability", CAPABILITY)
    answer = packed(folder / "root", folder / "x.tar.gz", "gzip", 0)
    return oci.Layer(folder / "x.tar.gz", answer["digest"], answer["diff_id"], answer["size"], oci.LAYER_TYPES["gzip"])


@pytest.mark.docker
def test_a_real_daemon(tmp_path: Path, dockerd: Dockerd, small_layer: oci.Layer) -> None:
    """Loads, tags, answers for both names with the id we computed, runs; a second load changes nothing."""
    import docker

    engine.ping(dockerd.address)
    config = oci.ImageConfig(
        entrypoint=("/echo", "a b", 'q"\n'), command=("$HOME",), user="70:70", author="é", stop_signal="SIGINT"
    )
    info = oci.write_archive(tmp_path / "x.tar", small_layer, config, "quern-test/echo:1", 0)
    assert engine.tagged_image_id(dockerd.address, "quern-test/echo:1") is None
    for _ in range(2):
        found = engine.load_and_tag(
            dockerd.address, tmp_path / "x.tar", ["quern-test/echo:1", "other:latest"], info.ids
        )
        assert found == info.config_digest
    assert engine.tagged_image_id(dockerd.address, "quern-test/echo:1", timeout=5) in info.ids
    assert engine.tagged_image_id(dockerd.address, "other:latest", timeout=5) in info.ids
    with closing(docker.DockerClient(base_url=dockerd.address)) as client:
        assert client.images.get("quern-test/echo:1").attrs["Config"]["StopSignal"] == "SIGINT"
        container = client.containers.create("quern-test/echo:1", network_mode="none")
        try:
            container.start()
            assert container.wait()["StatusCode"] == 0
            assert container.logs() == b'a b\nq"\n\n$HOME\nuid 70\n'
        finally:
            container.remove(force=True, v=True)
        layer = Path(client.images.get("other:latest").attrs["GraphDriver"]["Data"]["UpperDir"])
        assert os.getxattr(layer / "echo", "security.capability") == CAPABILITY


@needs_root
@pytest.mark.docker
def test_a_round_trip(tmp_path: Path, dockerd: Dockerd) -> None:
    """Everything that a root may hold, through docker's load and export and GNU tar, is what it was."""
    import docker

    tree, back = make_tree(tmp_path / "root"), tmp_path / "back"
    add_special(tree)
    answer = packed(tree, tmp_path / "x.tar.gz", "gzip", 0)
    media_type = oci.LAYER_TYPES["gzip"]
    layer = oci.Layer(tmp_path / "x.tar.gz", answer["digest"], answer["diff_id"], answer["size"], media_type)
    config = oci.ImageConfig(entrypoint=("/usr/bin/tool",))
    info = oci.write_archive(tmp_path / "x.tar", layer, config, "quern-test/everything:1", 0)
    engine.load_and_tag(dockerd.address, tmp_path / "x.tar", ["quern-test/everything:1"], info.ids)
    with closing(docker.DockerClient(base_url=dockerd.address)) as client:
        container = client.containers.create("quern-test/everything:1", network_mode="none")
        try:
            with (tmp_path / "exported.tar").open("wb") as file:
                file.writelines(container.export())
        finally:
            container.remove(force=True, v=True)
    back.mkdir()
    flags = ["--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*"]
    subprocess.run(["tar", "-xf", tmp_path / "exported.tar", "-C", back, *flags], check=True)
    found = compare(str(tree), str(back), [])["differences"]
    own = {"/.dockerenv", "/dev", "/etc", "/proc", "/sys"}  # where docker mounts something of its own
    assert [each for each in found if each["path"] not in own] == []


@pytest.mark.docker
def test_a_real_daemon_loads_an_image_with_documents(tmp_path: Path, dockerd: Dockerd, small_layer: oci.Layer) -> None:
    """It knows nothing of `subject`: the image is the same with and without."""
    info = oci.write_archive(tmp_path / "x.tar", small_layer, oci.ImageConfig(), "quern-test/bill:1", 0)
    oci.attach(tmp_path / "y.tar", tmp_path / "x.tar", small_layer, [oci.Document("text/plain", b"a bill")], 0)
    assert engine.load_and_tag(dockerd.address, tmp_path / "y.tar", ["quern-test/bill:1"], info.ids) in info.ids


@pytest.mark.docker
def test_what_a_real_daemon_refuses(tmp_path: Path, dockerd: Dockerd, small_layer: oci.Layer) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    with pytest.raises(errors.EngineError, match=r"docker daemon at .*: ") as caught:
        engine.load_and_tag(dockerd.address, tmp_path / "junk", [], [])
    assert "\n" not in str(caught.value)
    oci.write_archive(tmp_path / "x.tar", small_layer, oci.ImageConfig(), "quern-test/other:1", 0)
    with pytest.raises(errors.EngineError, match=r"the daemon loaded sha256:\w+, expected sha256:0"):
        engine.load_and_tag(dockerd.address, tmp_path / "x.tar", [], ["sha256:0"])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.mark.docker
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.dictionaries(TEXT.filter(bool), TEXT, max_size=3))
def test_labels_come_out_of_docker_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, dockerd: Dockerd, small_layer: oci.Layer, labels: dict[str, str]
) -> None:
    import docker

    target = tmp_path_factory.mktemp("labels") / "x.tar"
    config = oci.ImageConfig(labels=(*labels.items(), ("nasty", 'a"\nUSER nobody\n')))
    info = oci.write_archive(target, small_layer, config, "quern-test/labels:1", 0)
    engine.load_and_tag(dockerd.address, target, ["quern-test/labels:1"], info.ids)
    with closing(docker.DockerClient(base_url=dockerd.address)) as client:
        assert client.images.get("quern-test/labels:1").labels == {**labels, "nasty": 'a"\nUSER nobody\n'}
    target.unlink()
