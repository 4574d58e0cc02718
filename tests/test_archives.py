"""`doit diff --archive` of archives that are damaged, hostile, or of other tools; and layers as engines apply them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import resource
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quern import archive_stream
from quern.archive_reading import read_archive
from quern.errors import BuildError
from quern.inventory import File
from quern.questions.compared import difference, moves
from tests.archives import Member, descriptor, docker, files, layout, member, tar, text
from tests.projects import image_of, write
from tests.trees import CAPABILITY, ZSTD

DEEP = b"[" * 100_000
A_MINUTE = 60  # seconds, in which the worst is over on a slow machine


def paths(found: list[File]) -> list[str]:
    return [f"{file.path} {file.kind}" if file.kind != "file" else file.path for file in found]


def of_layers(folder: Path, *layers: list[Member]) -> list[str]:
    return paths(list(read_archive(docker(folder / "x.tar", *map(tar, layers))).files))


def refused(path: Path) -> str:
    """The message, after the archive's name, which is one line and comes in time."""
    before = time.monotonic()
    with pytest.raises(BuildError) as caught:
        read_archive(path)
    assert time.monotonic() - before < A_MINUTE
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{path}: ")
    assert len(said) < 600
    return said.removeprefix(f"{path}: ")


# what a layer does to those below it


@pytest.mark.parametrize(
    ("above", "expected"),
    [
        ([member("a", link="b")], ["a link"]),
        ([member("a", b"a file")], ["a"]),
        ([member("a", kind=tarfile.FIFOTYPE)], ["a pipe"]),
        ([member("a/")], ["a folder", "a/one", "a/two folder", "a/two/deep"]),
        ([member("a/two", b"")], ["a folder", "a/one", "a/two"]),
        ([member("a", b""), member("a/")], ["a folder"]),
    ],
)
def test_what_is_put_in_place_of_a_folder(tmp_path: Path, above: list[Member], expected: list[str]) -> None:
    """Only another folder keeps what is in it (OCI image-spec, layer.md, changeset)."""
    below = [member("a/"), member("a/one", b"1"), member("a/two/"), member("a/two/deep", b"2")]
    assert of_layers(tmp_path, below, above) == expected


@pytest.mark.parametrize("last", [False, True])
def test_a_whiteout_is_of_lower_layers_wherever_it_stands(tmp_path: Path, last: bool) -> None:
    below = [member("a/"), member("a/old", b"1"), member("a/b/"), member("a/b/old", b"1"), member("c", b"1")]
    own = [member("a/"), member("a/new", b"2"), member("a/b/"), member("a/b/new", b"2"), member("c", b"2")]
    hides = [member("a/.wh..wh..opq"), member(".wh.c")]
    above = [*own, *hides] if last else [*hides, *own]
    assert of_layers(tmp_path, below, above) == ["a folder", "a/b folder", "a/b/new", "a/new", "c"]


def test_whiteouts_follow_no_link_and_reach_no_other_name(tmp_path: Path) -> None:
    below = [member("d/"), member("d/x", b"1"), member("dd", b"1"), member("l", link="d")]
    above = [member("l/"), member("l/.wh..wh..opq"), member("no/.wh.x"), member(".wh.d/"), member("d/"), member("d/y")]
    assert of_layers(tmp_path, below, above) == ["d folder", "d/y", "dd", "l folder"]
    aufs = [member(".wh..wh.plnk/"), member(".wh..wh.plnk/1.2", b"x"), member(".wh..wh.aufs", b"")]
    assert of_layers(tmp_path, below, aufs) == ["d folder", "d/x", "dd", "l link"]


@pytest.mark.parametrize("target", ["usr/lib", "/usr/lib", "../../usr/./lib", "usr/lib64"])
def test_what_lies_below_a_link_is_where_that_leads(tmp_path: Path, target: str) -> None:
    below = [member("usr/"), member("usr/lib/"), member("usr/lib64", link="lib"), member("lib", link=target)]
    found = of_layers(tmp_path, below, [member("lib/x", b"1"), member("lib/y", kind=tarfile.LNKTYPE, link="/lib/x")])
    assert found == ["lib link", "usr folder", "usr/lib folder", "usr/lib/x", "usr/lib/y", "usr/lib64 link"]


def test_odd_names(tmp_path: Path) -> None:
    """As tar takes them: absolute ones are below the root, doubled members the last, bytes that are no UTF-8."""
    one = [member("./"), member("/etc//x", b"1"), member("etc/../etc/x", b"22"), member(os.fsdecode(b"caf\xe9"), b"")]
    found = read_archive(docker(tmp_path / "x.tar", tar(one))).files
    assert [(file.path, file.size) for file in found] == [("", 0), (os.fsdecode(b"caf\xe9"), 0), ("etc/x", 2)]


def test_attributes_are_content(tmp_path: Path) -> None:
    """A difference in file capabilities is one; labels and marks of where an image was built are none."""
    labels = {"security.selinux": b"any", "trusted.overlay.opaque": b"y", "user.overlay.origin": b"o"}
    one, same, other, none = (
        read_archive(docker(tmp_path / "x.tar", tar([member("ping", b"!", xattrs=said)])))
        for said in (
            {"security.capability": CAPABILITY},
            {"security.capability": CAPABILITY, **labels},
            {"security.capability": CAPABILITY[:4] + b"\1" + CAPABILITY[5:]},
            labels,
        )
    )
    assert difference(one, same).is_same
    for each in (other, none):
        found = difference(one, each)
        assert not found.is_same
        assert found.files["no package's"].changed == ["/ping"]


def test_the_same_id_with_another_layer_is_not_the_same(tmp_path: Path) -> None:
    one, other = (read_archive(docker(tmp_path / "x.tar", files({"a": said}))) for said in (b"1", b"2"))
    assert one.ids == other.ids
    assert not difference(one, other).is_same


# who writes archives otherwise


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        ZSTD.compress,
        lambda data: b"".join(ZSTD.compress(data[at : at + 700]) for at in range(0, len(data), 700)),
        lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    ],
)
def test_compressed_inside_and_outside(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """In several frames too (zstd:chunked, pigz), and with the manifest before or behind the layers."""
    layers = [pack(files({name: name.encode() * 9000})) for name in ("a", "b", "c")]
    path = docker(tmp_path / "x.tar", *layers)
    expected = read_archive(docker(tmp_path / "y.tar", *(files({name: name.encode() * 9000}) for name in "abc"))).files
    assert read_archive(path).files == expected
    path.write_bytes(pack(path.read_bytes()))
    assert read_archive(path).files == expected


def test_an_index_of_platforms(tmp_path: Path) -> None:
    """The one that was asked for, else the first; never an attestation."""
    blobs, entries = [], []
    for name, os_name in (("unknown", "unknown"), ("arm64", "linux"), ("amd64", "linux")):
        layer, config = files({name: b"x"}), text({"architecture": name})
        image = text({"config": descriptor(config), "layers": [descriptor(layer)]})
        blobs += [layer, config, image]
        entries.append(descriptor(image, platform={"os": os_name, "architecture": name}))
    inner = text({"manifests": entries})
    noted = {"org.opencontainers.image.ref.name": "x:1"}
    path = layout(tmp_path / "x.tar", {"manifests": [descriptor(inner, annotations=noted)]}, inner, *blobs)
    for wanted, found in (("amd64", "amd64"), ("arm64", "arm64"), ("riscv64", "arm64"), (None, "arm64")):
        read = read_archive(path, wanted)
        assert (read.reference, paths(list(read.files))) == ("x:1", [found])


def test_a_layer_that_is_a_link(tmp_path: Path) -> None:
    """As docker before version 25 saves a layer that an image has twice."""
    manifest = text([{"Config": "c", "Layers": ["0/layer.tar", "1/layer.tar"]}])
    outer = [member("0/layer.tar", files({"a": b"1"})), member("1/layer.tar", link="../0/layer.tar")]
    path = tmp_path / "x.tar"
    path.write_bytes(tar([*outer, member("c", b"{}"), member("manifest.json", manifest)]))
    assert paths(list(read_archive(path).files)) == ["a"]
    path.write_bytes(tar([member("0/layer.tar", link="layer.tar"), *outer[1:], member("c", b"{}"),
                          member("manifest.json", manifest)]))  # fmt: skip
    assert refused(path) == "0/layer.tar: expected a file, found links to links"


# what is no archive, or pretends to be a big one


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ({"manifests": []}, "expected an image, found none"),
        ({"manifests": {}}, "expected a list, found an object"),
        ({"manifests": [7]}, "expected an object, found `7`"),
        ({"manifests": [{"digest": 5}]}, "expected a text, found `5`"),
        ({"manifests": [{"digest": "sha256:0"}]}, "blobs/sha256/0: expected it in the archive; it is not there"),
        ({"manifests": [{"artifactType": "x"}]}, "expected an image, found none"),
        ({"manifests": [{"digest": "x", "annotations": 1}]}, "expected an object, found `1`"),
        ({"layers": [], "config": "x"}, "expected an object, found a text"),
        ({"config": {"digest": "x"}}, "expected a list, found nothing"),
        ([], "expected an object, found a list"),
        (None, "expected an object, found nothing"),
        (DEEP, "JSON of more than 32 levels"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "JSON of more than 32 levels"),
        (b'"\\ud800"', "JSON with text that is not Unicode"),
        (b"\xff", "no JSON: "),
        (b"9" * 5_000_000, "JSON of more than 4 MiB"),
    ],
)
def test_indexes(tmp_path: Path, index: object, said: str) -> None:
    found = refused(layout(tmp_path / "x.tar", index))
    assert found.removeprefix("index.json: ").startswith(said)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ([], "expected an image, found none"),
        ({}, "expected a list, found an object"),
        ([[]], "expected an object, found a list"),
        ([{}], "expected a text, found nothing"),
        ([{"Config": "config.json"}], "expected a list, found nothing"),
        ([{"Config": "config.json", "Layers": [1]}], "expected a text, found `1`"),
        ([{"Config": "config.json", "Layers": [], "RepoTags": [None]}], "expected a text, found nothing"),
        ([{"Config": "no", "Layers": []}], "no: expected it in the archive; it is not there"),
        ([{"Config": "config.json", "Layers": ["config.json"] * 600}], "config.json: expected at most 512 layers"),
        (DEEP, "JSON of more than 32 levels"),
    ],
)
def test_manifests(tmp_path: Path, manifest: object, said: str) -> None:
    found = refused(docker(tmp_path / "x.tar", manifest=manifest))
    assert found.removeprefix("manifest.json: ").startswith(said)


@pytest.mark.parametrize(
    "config", [[], "x", None, {"config": []}, {"config": {"Env": [1]}}, {"config": {"Env": {"a": 1}}}, DEEP]
)
def test_configurations(tmp_path: Path, config: object) -> None:
    path = docker(tmp_path / "x.tar", config=config)
    if isinstance(config, dict) and not config.get("config"):
        read_archive(path)
    else:
        assert refused(path).startswith("config.json: ")


def test_an_index_that_names_itself(tmp_path: Path) -> None:
    index = text({"manifests": [{"digest": "self"}]})
    path = tmp_path / "x.tar"
    path.write_bytes(files({"oci-layout": b"{}", "index.json": index, "blobs/self": index}))
    assert refused(path) == "blobs/self: expected an image, found indexes in 4 levels"


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([member("../x", b"1")], "../x: expected a path within the image"),
        ([member("a/../../x", b"1")], "a/../../x: expected a path within the image"),
        ([member("x", kind=tarfile.LNKTYPE, link="../../y")], "x: expected a path within the image"),
        ([member("x", kind=tarfile.LNKTYPE, link="y")], "x: expected a hard link to a file, and there is none at y"),
        ([member("y/"), member("x", kind=tarfile.LNKTYPE, link="y")], "x: expected a hard link to a file"),
        ([member("x", b"1"), member("x/y", b"1")], "x/y: expected a folder at x"),
        ([member("x", link="x"), member("x/y", b"1")], "x/y: expected a folder at x"),
        ([member("x", link="y"), member("y", link="x"), member("x/y", b"1")], "x/y: expected a folder at "),
        ([member("a/.wh.")], "a/.wh.: expected the name of what it hides"),
        ([member("a/.wh...")], "a/.wh...: expected the name of what it hides"),
        ([member(".", link="y")], ".: expected a folder at the top of the image"),
        ([member("n" * 5000)], f"{'n' * 200}...: expected a name of at most 4096 bytes"),
        ([member("x\n\x1b[31m", link="n" * 5000)], "x"),
        ([member("x", xattrs={"user.a": b"x" * (1 << 20)})], "expected headers of at most 1 MiB"),
        ([member("x", xattrs={"user.a": b"1" * 1000})], "expected a header with numbers of ordinary length"),
    ],
)
def test_members(tmp_path: Path, entries: list[Member], said: str) -> None:
    found = refused(docker(tmp_path / "x.tar", tar(entries)))
    assert found.startswith(f"0/layer.tar: {said}")
    (tmp_path / "x.tar").write_bytes(tar(entries))
    assert refused(tmp_path / "x.tar").startswith(said)


def test_what_is_cut_off(tmp_path: Path) -> None:
    """At any byte, unless that is between two members; of a layer, and of the archive."""
    layer = files({"a": b"1" * 700, "b": b"2" * 700})
    for end in (100, 512, 513, 700, 1100, 1540, 2048, 2100, 2560):
        assert refused(docker(tmp_path / "x.tar", layer[:end])).startswith("0/layer.tar: ")
    for cut in (1, 9, 30):
        assert refused(docker(tmp_path / "x.tar", gzip.compress(layer)[:-cut])).startswith("0/layer.tar: ")
    whole = docker(tmp_path / "x.tar", layer).read_bytes()
    for end in range(0, whole.rindex(b"manifest.json") + 512, 300):
        (tmp_path / "x.tar").write_bytes(whole[:end])
        refused(tmp_path / "x.tar")


def pax(name: str, **headers: str) -> Member:
    """A file whose headers say what it likes."""
    info, data = member(name, b"1")
    info.pax_headers = {key.replace("_", "."): value for key, value in headers.items()}
    return info, data


@pytest.mark.parametrize(
    "entry",
    [
        pax("x", GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_name="x", GNU_sparse_realsize=str(1 << 50)),
        pax("x", GNU_sparse_size=str(1 << 50), GNU_sparse_map="0,1"),
        pax("x", GNU_sparse_size=str(1 << 30), GNU_sparse_map="9,1,0,1"),
        pax("x", GNU_sparse_size="5", GNU_sparse_map="0,-1"),
        pax("x", GNU_sparse_size="-5", GNU_sparse_map="0,1"),
        pax("x", size="-1024"),
        pax("x", size=str(1 << 60)),
        pax("x", size="x"),
        pax("x", uid="9" * 5000),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_sizes_that_headers_only_claim(tmp_path: Path, entry: Member, pack: Callable[[bytes], bytes]) -> None:
    entries = [member("before", b"1"), entry, member("after", b"2")]
    data = tar(entries).replace(b"\0x\0", b"\0x\0", 1)
    if "GNU.sparse.major" in entry[0].pax_headers:
        data = data.replace(b"1" + bytes(511), b"1\n0\n1\n" + bytes(506))
    assert refused(docker(tmp_path / "x.tar", pack(data))).startswith("0/layer.tar: ")


def test_headers_without_an_end(tmp_path: Path) -> None:
    """One upon the other, as many as are taken for one member, or of a sparse file."""
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    chain = header.tobuf(tarfile.USTAR_FORMAT) * 5000
    assert refused(docker(tmp_path / "x.tar", chain)).startswith("0/layer.tar: ")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    assert "expected headers of at most 1 MiB" in refused(docker(tmp_path / "x.tar", header.tobuf(tarfile.GNU_FORMAT)))
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 0
    raw = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    raw[482] = 1  # another block of the map follows
    raw[148:156] = b"%06o\0 " % (sum(raw[:148]) + 8 * 32 + sum(raw[156:512]))
    endless = bytes(raw) + (bytes(504) + b"\1" + bytes(7)) * 5000
    assert "expected headers of at most 1 MiB" in refused(docker(tmp_path / "x.tar", endless))


@pytest.mark.parametrize("pack", [gzip.compress, ZSTD.compress])
def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]) -> None:
    """What unpacks to more than is read in all, though none of it is kept; the limits are less here."""
    monkeypatch.setattr(archive_stream, "READ", 1 << 27)
    layer = pack(files({"big": bytes(1 << 25)}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    manifest = [{"Config": "config.json", "RepoTags": None, "Layers": ["0/layer.tar"] * 9}]
    found = refused(docker(tmp_path / "x.tar", layer, manifest=manifest))
    assert found == "0/layer.tar: big: expected an archive of at most 128 MiB to be read in all"
    (tmp_path / "x.tar").write_bytes(pack(bytes(1 << 20) + tar([member("x", b"1")])))
    assert read_archive(tmp_path / "x.tar").files == []  # a tar ends with empty blocks
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_many_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_stream, "ENTRIES", 1000)
    path = docker(tmp_path / "x.tar", tar([member("x", b"")] * 2000))
    assert refused(path) == "0/layer.tar: expected an archive of at most 1000 members"


def test_a_window_bigger_than_memory(tmp_path: Path) -> None:
    stream = ZSTD.ZstdCompressor(options={ZSTD.CompressionParameter.window_log: 30})
    data = stream.compress(files({"x": b"1"})) + stream.flush()
    assert "requires too much memory" in refused(docker(tmp_path / "x.tar", data))


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zero").symlink_to("/dev/zero")
    image = image_of(write(tmp_path, {"one.conf": "[build]\nprofile = a:b\n"}) / "one.conf", tmp_path / "build/one")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("zero", "a device")):
        assert refused(tmp_path / name) == f"expected an image's archive or a root's tarball, found {kind}"
        with pytest.raises(BuildError, match=f"expected a lock, found {kind}"):
            moves(image, tmp_path / name)
