"""quern.oci: the archive as bytes, as skopeo reads it and as docker runs it."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quern import __version__, oci
from quern.errors import BuildError
from tests.trees import make_tree, packed

EPOCH = 1_463_400_000  # 2016-05-16T12:00:00Z

CONFIG = oci.ImageConfig(
    entrypoint=("/usr/bin/python3", "-c", "print('a b')"),
    command=("--help",),
    ports=("80/tcp", "53/udp"),
    volumes=("/data",),
    workdir="/srv",
    user="nobody",
    env=(("A", "1"), ("B", "x=y")),
    labels=(("one", "1"), ("nasty", 'a "quoted"\nUSER root\n\\ $HOME é')),
    author="Someone <someone@example.org>",
)


@pytest.fixture(scope="session", params=["gzip", "zstd"])
def any_layer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> oci.Layer:
    return make_layer(tmp_path_factory.mktemp("layer"), request.param)


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> oci.Layer:
    return make_layer(tmp_path_factory.mktemp("layer"), "gzip")


def make_layer(folder: Path, compression: str) -> oci.Layer:
    path = folder / "x.tar"
    answer = packed(make_tree(folder / "root"), path, compression, EPOCH)
    return oci.Layer(path, answer["digest"], answer["diff_id"], answer["size"], oci.LAYER_TYPES[compression])


def read(archive: Path) -> dict[str, Any]:
    """The JSON files of an archive by name."""
    with tarfile.open(archive) as tar:
        found = {}
        for member in tar:
            stream = tar.extractfile(member)
            data = stream.read() if stream else b""
            if data.startswith((b"{", b"[")):
                found[member.name] = json.loads(data)
        return found


def test_archive_is_a_whole_and_reproducible(tmp_path: Path, any_layer: oci.Layer) -> None:
    info = oci.write_archive(tmp_path / "a", any_layer, CONFIG, "name:1", EPOCH)
    again = oci.write_archive(tmp_path / "b", any_layer, CONFIG, "name:1", EPOCH)
    assert again == info
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert info.size == (tmp_path / "a").stat().st_size
    files = read(tmp_path / "a")
    config = files["blobs/" + info.config_digest.replace(":", "/")]
    manifest = files["blobs/" + info.manifest_digest.replace(":", "/")]
    assert files["oci-layout"] == {"imageLayoutVersion": "1.0.0"}
    assert files["manifest.json"][0]["RepoTags"] == ["name:1"]
    assert files["index.json"]["manifests"][0]["digest"] == info.manifest_digest
    assert manifest["config"]["digest"] == info.config_digest
    assert manifest["layers"] == [
        {"digest": any_layer.digest, "size": any_layer.size, "mediaType": any_layer.media_type}
    ]
    assert config["rootfs"]["diff_ids"] == [any_layer.diff_id]
    assert config["created"] == "2016-05-16T12:00:00Z"
    assert config["config"] == {
        "Entrypoint": ["/usr/bin/python3", "-c", "print('a b')"],
        "Cmd": ["--help"],
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
        "WorkingDir": "/srv",
        "User": "nobody",
        "Env": ["A=1", "B=x=y"],
        "Labels": dict(CONFIG.labels),
    }


def test_id_does_not_depend_on_the_tag(tmp_path: Path, layer: oci.Layer) -> None:
    one = oci.write_archive(tmp_path / "a", layer, CONFIG, "name:1", EPOCH)
    two = oci.write_archive(tmp_path / "b", layer, CONFIG, "name:2", EPOCH)
    assert one.ids == two.ids
    assert one.digest != two.digest


def test_what_is_not_said_is_not_there() -> None:
    image = oci.image_json(oci.ImageConfig(), "sha256:0", 0)
    assert image["config"] == {}
    assert "author" not in image


def test_stop_signal_and_annotations(tmp_path: Path, layer: oci.Layer) -> None:
    """The one is of the configuration, the others are of the manifest alone, which the image's id does not have."""
    plain = oci.write_archive(tmp_path / "a", layer, oci.ImageConfig(), "name:1", EPOCH)
    annotated = oci.write_archive(
        tmp_path / "b", layer, oci.ImageConfig(), "name:1", EPOCH, (("org.example.b", "2"), ("org.example.a", 'x"\n'))
    )
    stopped = oci.write_archive(tmp_path / "c", layer, oci.ImageConfig(stop_signal="SIGINT"), "name:1", EPOCH)
    found = read(tmp_path / "b")
    manifest = found["blobs/" + annotated.manifest_digest.replace(":", "/")]
    assert manifest["annotations"] == {"org.example.a": 'x"\n', "org.example.b": "2"}
    assert annotated.config_digest == plain.config_digest
    assert annotated.manifest_digest != plain.manifest_digest
    assert found["index.json"]["manifests"][0]["digest"] == annotated.manifest_digest
    config = read(tmp_path / "c")["blobs/" + stopped.config_digest.replace(":", "/")]
    assert config["config"] == {"StopSignal": "SIGINT"}


def test_without_them_the_bytes_are_those_of_before(tmp_path: Path, layer: oci.Layer) -> None:
    oci.write_archive(tmp_path / "a", layer, CONFIG, "name:1", EPOCH)
    files = [text for name, text in read(tmp_path / "a").items() if name.startswith("blobs/")]
    assert {key for text in files for key in (*text, *text.get("config", {}))}.isdisjoint({"annotations", "StopSignal"})


def test_layer_that_changed_is_refused(tmp_path: Path, layer: oci.Layer) -> None:
    broken = tmp_path / "broken"
    data = bytearray(layer.path.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    bad = oci.Layer(broken, layer.digest, layer.diff_id, layer.size, layer.media_type)
    with pytest.raises(BuildError, match="is not what was packed"):
        oci.write_archive(tmp_path / "a", bad, CONFIG, "name:1", EPOCH)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path, layer: oci.Layer) -> None:
    with pytest.raises(BuildError, match="not UTF-8"):
        oci.write_archive(tmp_path / "a", layer, oci.ImageConfig(user="\udcff"), "name:1", EPOCH)


def test_labels() -> None:
    own = (("org.opencontainers.image.title", "mine"), ("x", "y"))
    labels = dict(oci.image_labels(own, name="n", tag="t", profile="o:p", author="A", epoch=EPOCH))
    assert labels == {
        "quern-version": __version__,
        "quern-profile": "o:p",
        "org.opencontainers.image.title": "mine",
        "org.opencontainers.image.version": "t",
        "org.opencontainers.image.created": "2016-05-16T12:00:00Z",
        "org.opencontainers.image.authors": "A",
        "x": "y",
    }


def test_labels_for_which_there_is_nothing_to_say() -> None:
    labels = dict(oci.image_labels((), name="n", tag="", profile="o:p", author=None, epoch=EPOCH))
    assert sorted(labels) == [
        "org.opencontainers.image.created", "org.opencontainers.image.title", "quern-profile", "quern-version",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("python:3", "docker.io/library/python:3"),
        ("me/python:3", "docker.io/me/python:3"),
        ("example.org/python:3", "example.org/python:3"),
        ("localhost/python:3", "localhost/python:3"),
        ("registry:5000/python:3", "registry:5000/python:3"),
    ],
)
def test_qualified(reference: str, whole: str) -> None:
    assert oci.qualified(reference) == whole


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_skopeo_reads_it(tmp_path: Path, skopeo: Path, layer: oci.Layer, transport: str) -> None:
    info = oci.write_archive(tmp_path / "x.tar", layer, CONFIG, "name:1", EPOCH)
    source = f"{transport}:{tmp_path}/x.tar"
    ran = subprocess.run([skopeo, "inspect", "--config", "--raw", source], capture_output=True, check=True)
    assert oci._digest(ran.stdout.rstrip(b"\n")) == info.config_digest
    policy = ["--insecure-policy", "--tmpdir", str(tmp_path)]  # Debian's package has no policy without its recommends
    subprocess.run([skopeo, *policy, "copy", "--quiet", source, f"dir:{tmp_path}/out"], check=True)
    manifest = json.loads((tmp_path / "out/manifest.json").read_bytes())
    assert manifest["config"]["digest"] == info.config_digest


DOCUMENTS = [oci.Document("application/spdx+json", b'{"a": 1}\n'), oci.Document("text/plain", b"a bill\n")]


def attached(folder: Path, layer: oci.Layer) -> tuple[oci.ArchiveInfo, Path]:
    """An archive, and its copy with documents attached."""
    info = oci.write_archive(folder / "x.tar", layer, CONFIG, "name:1", EPOCH)
    oci.attach(folder / "attached.tar", folder / "x.tar", layer, DOCUMENTS, EPOCH)
    return info, folder / "attached.tar"


def test_documents_refer_to_the_image(tmp_path: Path, any_layer: oci.Layer) -> None:
    info, archive = attached(tmp_path, any_layer)
    oci.attach(tmp_path / "again.tar", tmp_path / "x.tar", any_layer, DOCUMENTS, EPOCH)
    assert (tmp_path / "again.tar").read_bytes() == archive.read_bytes()
    before, after = read(tmp_path / "x.tar"), read(archive)
    assert {name: after[name] for name in before if name != "index.json"} == {
        name: text for name, text in before.items() if name != "index.json"
    }
    image, *referrers = after["index.json"]["manifests"]
    assert [image] == before["index.json"]["manifests"]
    with tarfile.open(archive) as tar:
        blobs = {member.name: stream.read() for member in tar if (stream := tar.extractfile(member))}
    for entry, document in zip(referrers, DOCUMENTS, strict=True):
        manifest = after["blobs/" + entry["digest"].replace(":", "/")]
        subject = {"digest": info.manifest_digest, "mediaType": oci.MANIFEST_TYPE, "size": image["size"]}
        assert manifest["subject"] == subject
        assert manifest["artifactType"] == entry["artifactType"] == document.media_type
        for part, data in ((manifest["config"], oci.EMPTY), (manifest["layers"][0], document.data)):
            assert part["size"] == len(data)
            assert blobs["blobs/" + part["digest"].replace(":", "/")] == data


@pytest.mark.parametrize("source", ["docker-archive:{}", "oci-archive:{}:1"])
def test_skopeo_reads_an_image_with_documents(tmp_path: Path, skopeo: Path, layer: oci.Layer, source: str) -> None:
    info, archive = attached(tmp_path, layer)
    command = [str(skopeo), "inspect", "--config", "--raw", source.format(archive)]
    ran = subprocess.run(command, capture_output=True, check=True)
    assert oci._digest(ran.stdout.rstrip(b"\n")) == info.config_digest


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.dictionaries(TEXT.filter(bool), TEXT, max_size=4), words=st.lists(TEXT.filter(bool), max_size=3))
def test_any_label_and_argument(
    tmp_path_factory: pytest.TempPathFactory, layer: oci.Layer, labels: dict[str, str], words: list[str]
) -> None:
    target = tmp_path_factory.mktemp("any") / "x.tar"
    config = oci.ImageConfig(labels=tuple(labels.items()), entrypoint=tuple(words))
    info = oci.write_archive(target, layer, config, "name:1", EPOCH)
    said = read(target)["blobs/" + info.config_digest.replace(":", "/")]["config"]
    assert said.get("Labels", {}) == labels
    assert said.get("Entrypoint", []) == words
    target.unlink()
