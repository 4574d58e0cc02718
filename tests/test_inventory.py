"""What is in an image: of its tree, of its archives, and kept from build to build."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from quern import archive_stream, inventory, oci
from quern.archive_reading import read_archive
from quern.errors import BuildError, DriverError
from quern.inventory import FORMER, NAME, File, Inventory, of_rows
from quern.worker import inventory as worker
from tests.projects import write
from tests.test_oci import CONFIG
from tests.test_vdb import entry
from tests.trees import make_tree, packed, without_zstd

IMAGE = Inventory("a:1", ["sha256:1", "sha256:2"], {"config": {}}, "", [File("x", "file", "644", "0:0", 1, "d", "p-1")])


def of_tree(root: Path) -> list[File]:
    return of_rows(worker.inventory(str(root), str(root))["files"])


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_archive_has_what_the_tree_has(tmp_path: Path, compression: str) -> None:
    root = make_tree(tmp_path / "root")
    tarball = tmp_path / "root.tar"
    answer = packed(root, tarball, compression, 0)
    expected = sorted(of_tree(root))
    assert read_archive(tarball) == Inventory(str(tarball), [], None, None, expected)

    layer = oci.Layer(tarball, answer["digest"], answer["diff_id"], answer["size"], oci.LAYER_TYPES[compression])
    info = oci.write_archive(tmp_path / "x.tar", layer, CONFIG, "name:1", 0)
    found = read_archive(tmp_path / "x.tar")
    assert (found.reference, found.ids, found.files) == ("name:1", [info.config_digest], expected)
    assert found.settings == json.loads(json.dumps(oci.image_json(CONFIG, answer["diff_id"], 0)))


def test_a_layout_without_docker_s_own_file(tmp_path: Path, skopeo: Path) -> None:
    root = make_tree(tmp_path / "root")
    answer = packed(root, tmp_path / "root.tar", "gzip", 0)
    layer = oci.Layer(
        tmp_path / "root.tar", answer["digest"], answer["diff_id"], answer["size"], oci.LAYER_TYPES["gzip"]
    )
    info = oci.write_archive(tmp_path / "x.tar", layer, CONFIG, "name:1", 0)
    oci.attach(tmp_path / "y.tar", tmp_path / "x.tar", layer, [oci.Document("text/plain", b"a bill")], 0)
    command = [str(skopeo), "--insecure-policy", "--tmpdir", str(tmp_path), "copy", "--quiet"]
    subprocess.run([*command, f"oci-archive:{tmp_path}/y.tar:1", f"oci-archive:{tmp_path}/z.tar:some"], check=True)
    with tarfile.open(tmp_path / "z.tar") as tar:
        assert "manifest.json" not in tar.getnames()
    found = read_archive(tmp_path / "z.tar")
    assert (found.reference, found.ids) == ("some", [info.config_digest])
    assert found.files == read_archive(tmp_path / "x.tar").files


def test_whose_files_are(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1", "obj /usr/bin/tool 0 1\nsym /usr/bin/t -> tool 1\ndir /usr/bin\n")
    write(tmp_path, {"usr/bin/tool": "#!", "usr/bin/other": ""})
    (tmp_path / "usr/bin/t").symlink_to("tool")
    os.link(tmp_path / "usr/bin/tool", tmp_path / "usr/bin/again")
    found = {file.path: file for file in of_tree(tmp_path)}
    assert {path: found[path].package for path in ("usr/bin", "usr/bin/tool", "usr/bin/t", "usr/bin/other")} == {
        "usr/bin": "", "usr/bin/tool": "app-misc/one-1", "usr/bin/t": "app-misc/one-1", "usr/bin/other": "",
    }  # fmt: skip
    assert sorted((found["usr/bin/tool"].size, found["usr/bin/again"].size)) == [0, 2]
    assert found["usr/bin/tool"].content == found["usr/bin/again"].content
    assert found["usr/bin/t"][1:] == ("link", "777", found["usr"].owner, 0, "tool", "app-misc/one-1", "")


def layers(folder: Path, *contents: dict[str, bytes]) -> Path:
    """An image in docker's format; of each layer names and texts, folders with a slash at the end."""
    blobs: dict[str, bytes] = {"config.json": b"{}"}
    for number, files in enumerate(contents):
        stream = io.BytesIO()
        tar_of(stream, files)
        blobs[f"{number}/layer.tar"] = stream.getvalue()
    image = {"Config": "config.json", "RepoTags": None, "Layers": [name for name in blobs if name != "config.json"]}
    with (folder / "layers.tar").open("wb") as file:
        tar_of(file, {**blobs, "manifest.json": json.dumps([image]).encode()})
    return folder / "layers.tar"


def tar_of(stream: io.BufferedWriter | io.BytesIO, files: dict[str, bytes]) -> None:
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(text))


def test_layers(tmp_path: Path) -> None:
    below = {"a/": b"", "a/one": b"1", "a/two": b"2", "b/": b"", "b/old": b"3", "c/": b"", "c/x": b"4", "top": b"5"}
    above = {"a/.wh.one": b"", "b/.wh..wh..opq": b"", "b/new": b"6", ".wh.c": b"", "top": b"77"}
    found = read_archive(layers(tmp_path, below, above))
    assert [(file.path, file.size) for file in found.files] == [
        ("a", 0), ("a/two", 1), ("b", 0), ("b/new", 1), ("top", 2),
    ]  # fmt: skip
    assert (found.reference, found.settings, len(found.ids)) == (str(tmp_path / "layers.tar"), {}, 1)


def test_what_is_no_archive(tmp_path: Path) -> None:
    write(tmp_path, {"text": "no archive at all, and longer than a few bytes\n" * 30, "empty": ""})
    with tarfile.open(tmp_path / "odd.tar", "w") as tar:
        tar.add(tmp_path / "text", "manifest.json")
    for name, said in (
        ("text", "expected an image's archive or a root's tarball"),
        ("empty", "expected an image's archive or a root's tarball"),
        ("odd.tar", "manifest.json: no JSON"),
    ):
        with pytest.raises(BuildError, match=f"{name}: {said}"):
            read_archive(tmp_path / name)
    with pytest.raises(BuildError, match="absent: No such file or directory"):
        read_archive(tmp_path / "absent")


def test_kept(tmp_path: Path) -> None:
    path = tmp_path / NAME
    assert inventory.read(path) is None
    inventory.write(path, IMAGE)
    first = path.read_bytes()
    assert inventory.read(path) == IMAGE
    inventory.write(path, IMAGE)
    assert path.read_bytes() == first
    path.write_bytes(first[:-10])
    with pytest.raises(BuildError, match=r"was damaged; remove .*, and it is made anew"):
        inventory.read(path)


def test_the_former_is_the_last_that_was_another(tmp_path: Path) -> None:
    one, two, three = (IMAGE._replace(ids=[f"sha256:{name}"]) for name in ("one", "two", "three"))
    for folder in ("now", "aside"):
        (tmp_path / folder).mkdir()
    folders, target = (tmp_path / "now", tmp_path / "aside"), tmp_path / "kept"
    inventory.keep_former(folders, "sha256:one", target)
    assert not target.exists()  # the first build

    inventory.write(tmp_path / "now" / NAME, one)
    inventory.keep_former(folders, "sha256:one", target)
    assert not target.exists()  # the same again
    inventory.keep_former(folders, "sha256:two", target)
    assert inventory.read(target) == one

    inventory.write(tmp_path / "now" / NAME, two)
    inventory.write(tmp_path / "now" / FORMER, one)
    inventory.keep_former(folders, "sha256:two", target)
    assert inventory.read(target) == one
    inventory.keep_former(folders, "sha256:three", target)
    assert inventory.read(target) == two

    (tmp_path / "now").rename(tmp_path / "gone")  # killed while one is put in place of the other
    inventory.write(tmp_path / "aside" / NAME, three)
    inventory.keep_former(folders, "sha256:four", target)
    assert inventory.read(target) == three


def test_zstd_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(archive_stream.ZSTD + bytes(100))
    without_zstd(monkeypatch)
    with pytest.raises(DriverError, match=r"this Python cannot pack or unpack zstd: `pip install backports\.zstd`"):
        read_archive(tmp_path / "x")
