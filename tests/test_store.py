from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quern.errors import BuildError
from quern.portage import package_index
from quern.portage import store as stores
from quern.portage.package_index import INDEX, read_index, write_index
from quern.portage.store import Store, check_view, harvest, link_view, make_view
from tests.packages import build, gpkg, member
from tests.projects import write

ZLIB, MUSL = "sys-libs/zlib-1.3.1-r2", "sys-libs/musl-1.2.5"
KEYS = {ZLIB: "a" * 64, MUSL: "b" * 64}

line = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store without packages."""
    return Store(tmp_path / "store")


@pytest.fixture
def full(store: Store, tmp_path: Path) -> Store:
    """A store with both packages."""
    build(tmp_path / "built", ZLIB, MUSL)
    assert harvest(tmp_path / "built", store, KEYS, KEYS) == [ZLIB, MUSL]
    return store


def view(tmp_path: Path, store: Store, keys: dict[str, str]) -> tuple[Path, list[str]]:
    folder = tmp_path / f"view{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    return folder, make_view(folder, store, keys)


def test_an_empty_store_lacks_everything(store: Store, tmp_path: Path) -> None:
    folder, missing = view(tmp_path, store, KEYS)
    assert missing == [MUSL, ZLIB]
    assert [path.name for path in folder.iterdir()] == [INDEX]  # without one Portage would say nothing
    assert read_index(folder) == []


def test_harvested_packages_are_in_the_view(full: Store, tmp_path: Path) -> None:
    folder, missing = view(tmp_path, full, KEYS)
    assert missing == []
    assert [stanza["CPV"] for stanza in read_index(folder)] == [MUSL, ZLIB]
    for stanza in read_index(folder):
        assert (folder / stanza["PATH"]).samefile(full.path(stanza["CPV"], KEYS[stanza["CPV"]]))
    check_view(folder, KEYS)


def test_names_in_the_store_are_by_key(full: Store) -> None:
    assert full.path(ZLIB, KEYS[ZLIB]) == full.folder / f"sys-libs/zlib-1.3.1-r2-{'a' * 32}.gpkg.tar"
    found = sorted(str(path.relative_to(full.folder)) for path in full.folder.rglob("*") if path.is_file())
    assert found == [
        f"sys-libs/musl-1.2.5-{'b' * 32}.gpkg.tar",
        f"sys-libs/musl-1.2.5-{'b' * 32}.index",
        f"sys-libs/zlib-1.3.1-r2-{'a' * 32}.gpkg.tar",
        f"sys-libs/zlib-1.3.1-r2-{'a' * 32}.index",
    ]


def test_which_files_are_ours(full: Store) -> None:
    """Records first; a copy that was cut short is ours too, what somebody put there is not."""
    folder = full.folder / "sys-libs"
    (folder / f".musl-1.2.5-{'c' * 32}.gpkg.tar.new").touch()
    for name in ("zlib-1.3.1-r2-1.gpkg.tar", f"notes-{'a' * 32}.txt", f"zlib-{'A' * 32}.gpkg.tar"):
        (folder / name).touch()
    (folder / f"folder-1-{'d' * 32}.gpkg.tar").mkdir()
    (folder / f"link-1-{'d' * 32}.gpkg.tar").symlink_to(full.path(MUSL, KEYS[MUSL]))
    assert {name: [path.name for path in paths] for name, paths in full.packages().items()} == {
        f"sys-libs/musl-1.2.5-{'b' * 32}": [f"musl-1.2.5-{'b' * 32}.index", f"musl-1.2.5-{'b' * 32}.gpkg.tar"],
        f"sys-libs/musl-1.2.5-{'c' * 32}": [f".musl-1.2.5-{'c' * 32}.gpkg.tar.new"],
        f"sys-libs/zlib-1.3.1-r2-{'a' * 32}": [f"zlib-1.3.1-r2-{'a' * 32}.index", f"zlib-1.3.1-r2-{'a' * 32}.gpkg.tar"],
    }


VERSIONS = ["0", "1-r3", "1.2.3b_rc4_p5-r10", "2024.01.02", "9999-r0"]


@pytest.mark.parametrize("name", ["zlib", "gtk+", "font-misc", "lib2to3", "x-1a-", "foo-2bar", "R-r3"])
def test_folders_are_called_as_portage_calls_packages(store: Store, tmp_path: Path, name: str) -> None:
    """A version has no hyphen but that of its revision (PMS 3.2): the folder is the package's, whichever it is."""
    versions = pytest.importorskip("portage.versions", reason="Portage is not installed")
    cpvs = [f"lab/{name}-{version}" for version in VERSIONS if versions.catpkgsplit(f"lab/{name}-{version}")]
    keys = {cpv: hashlib.sha256(cpv.encode()).hexdigest() for cpv in cpvs}
    build(tmp_path / "built", *cpvs)
    harvest(tmp_path / "built", store, keys, keys)
    folder, missing = view(tmp_path, store, keys)
    assert missing == []
    for stanza in read_index(folder):
        assert str(Path(stanza["PATH"]).parent) == versions.cpv_getkey(stanza["CPV"])


def test_another_key_is_another_package(full: Store, tmp_path: Path) -> None:
    """BUILD_ID is counted in each view: both are number 1."""
    keys = {**KEYS, ZLIB: "c" * 64}
    assert view(tmp_path, full, keys)[1] == [ZLIB]
    build(tmp_path / "other", ZLIB)
    harvest(tmp_path / "other", full, keys, [ZLIB])
    for wanted in (KEYS, keys):
        folder, missing = view(tmp_path, full, wanted)
        assert missing == []
        assert (folder / "sys-libs/zlib/zlib-1.3.1-r2-1.gpkg.tar").samefile(full.path(ZLIB, wanted[ZLIB]))


def test_the_same_content_under_another_key(store: Store, tmp_path: Path) -> None:
    """What was built from the same content is given another key; the record that says so is not the build's own."""
    build(tmp_path / "built", ZLIB, MUSL)
    index = tmp_path / "built" / INDEX
    index.write_text(index.read_text().replace("CPV:", f"{stores.CONTENTS}: {'e' * 64}\nCPV:"))
    harvest(tmp_path / "built", store, KEYS, [ZLIB], contents="c" * 64)
    harvest(tmp_path / "built", store, KEYS, [MUSL])
    assert store.same(ZLIB, "e" * 64) is store.same(MUSL, "e" * 64) is store.same(ZLIB, "d" * 64) is None
    former = store.same(ZLIB, "c" * 64)
    assert former == store.path(ZLIB, KEYS[ZLIB])
    store.adopt(ZLIB, "d" * 64, former)
    assert store.stanza(ZLIB, "d" * 64) == store.stanza(ZLIB, KEYS[ZLIB]) is not None
    assert store.path(ZLIB, "d" * 64).samefile(store.path(ZLIB, KEYS[ZLIB]))
    folder, missing = view(tmp_path, store, {ZLIB: "d" * 64})
    assert (missing, [stores.CONTENTS in stanza for stanza in read_index(folder)]) == ([], [False])


def test_what_is_damaged_is_given_no_other_key(store: Store, tmp_path: Path) -> None:
    build(tmp_path / "built", ZLIB)
    harvest(tmp_path / "built", store, KEYS, [ZLIB], contents="c" * 64)
    path = store.path(ZLIB, KEYS[ZLIB])
    path.write_bytes(b"x" * path.stat().st_size)
    assert store.same(ZLIB, "c" * 64) is None


def test_a_kill_while_a_package_gets_another_key(store: Store, tmp_path: Path) -> None:
    """The package is there, its record is not: the next run finishes that, and writes into no file that is linked."""
    build(tmp_path / "built", ZLIB)
    harvest(tmp_path / "built", store, KEYS, [ZLIB], contents="c" * 64)
    former, path = store.path(ZLIB, KEYS[ZLIB]), store.path(ZLIB, "d" * 64)
    before = former.read_bytes()
    path.hardlink_to(former)
    store.adopt(ZLIB, "d" * 64, former)
    assert former.read_bytes() == path.read_bytes() == before
    assert store.sound(ZLIB, "d" * 64) == store.sound(ZLIB, KEYS[ZLIB]) is not None


def test_many_at_once_give_a_package_another_key(store: Store, tmp_path: Path) -> None:
    build(tmp_path / "built", ZLIB)
    harvest(tmp_path / "built", store, KEYS, [ZLIB], contents="c" * 64)
    former = store.path(ZLIB, KEYS[ZLIB])
    before = former.read_bytes()
    for number in range(50):
        key = f"{number:064x}"[::-1]
        with ThreadPoolExecutor(4) as pool:
            for ended in [pool.submit(store.adopt, ZLIB, key, former) for _ in range(4)]:
                ended.result()
        assert store.path(ZLIB, key).read_bytes() == before
    assert not list(store.folder.rglob("*.new"))


def test_a_build_writes_no_line_of_its_record(store: Store, tmp_path: Path) -> None:
    """To Python a carriage return ends a line as well, unless told otherwise."""
    build(tmp_path / "built", ZLIB)
    index = tmp_path / "built" / INDEX
    forged = f"SLOT: 0\rSHA256: {'a' * 64}\r{stores.CONTENTS}: {'e' * 64}\x0bSIZE: 1\n"
    index.write_bytes(index.read_bytes().replace(b"CPV:", f"{forged}CPV:".encode()))
    harvest(tmp_path / "built", store, KEYS, [ZLIB], contents="c" * 64)
    stanza = store.stanza(ZLIB, KEYS[ZLIB])
    assert stanza
    assert (stanza["SHA256"], stanza[stores.CONTENTS]) == (_sha256(store.path(ZLIB, KEYS[ZLIB])), "c" * 64)
    assert "\r" not in store.record(store.path(ZLIB, KEYS[ZLIB])).read_bytes().decode()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_what_was_wanted_is_taken(store: Store, tmp_path: Path) -> None:
    build(tmp_path / "built", ZLIB, MUSL)
    assert harvest(tmp_path / "built", store, KEYS, [MUSL]) == [MUSL]
    assert view(tmp_path, store, KEYS)[1] == [ZLIB]


def test_what_the_store_has_is_kept(full: Store, tmp_path: Path) -> None:
    before = full.path(ZLIB, KEYS[ZLIB]).read_bytes()
    build(tmp_path / "built", ZLIB, build_id=2)
    assert harvest(tmp_path / "built", full, KEYS, KEYS) == []
    assert full.path(ZLIB, KEYS[ZLIB]).read_bytes() == before


def test_what_a_kill_has_left_does_not_count(store: Store, tmp_path: Path) -> None:
    """It is another's, who may still be at work; what no run has any more `doit prune` removes."""
    path = store.path(ZLIB, KEYS[ZLIB])
    left = path.with_name(f".{path.name}.1.new")
    write(store.folder, {f"{path.parent.name}/{left.name}": "half of a package"})
    build(tmp_path / "built", ZLIB)
    assert harvest(tmp_path / "built", store, KEYS, [ZLIB]) == [ZLIB]
    assert store.sound(ZLIB, KEYS[ZLIB])
    assert left in next(iter(store.packages().values()))


def test_what_is_not_listed_or_not_whole_is_not_taken(store: Store, tmp_path: Path) -> None:
    build(tmp_path / "built", ZLIB, MUSL)
    (tmp_path / "built/sys-libs/zlib/zlib-1.3.1-r2-1.gpkg.tar").write_text("cut")
    (tmp_path / "built/sys-libs/musl/musl-1.2.5-1.gpkg.tar").unlink()
    assert harvest(tmp_path / "built", store, KEYS, KEYS) == []
    assert harvest(tmp_path / "absent", store, KEYS, KEYS) == []


def test_two_builds_are_one_file(tmp_path: Path) -> None:
    """At other times, in other folders, by others: the same package, and the same record of it."""
    stores = [Store(tmp_path / f"store{number}") for number in range(2)]
    for number, store in enumerate(stores):
        build(tmp_path / f"built{number}", ZLIB, build_id=number + 1)
        assert harvest(tmp_path / f"built{number}", store, KEYS, [ZLIB]) == [ZLIB]
        assert store.sound(ZLIB, KEYS[ZLIB])
    for path in (stores[0].path(ZLIB, KEYS[ZLIB]), Store.record(stores[0].path(ZLIB, KEYS[ZLIB]))):
        assert path.read_bytes() == (stores[1].folder / path.relative_to(stores[0].folder)).read_bytes()


def test_a_package_of_a_binhost_is_written_anew(store: Store, tmp_path: Path) -> None:
    """Where it is from is known by what it was there, and its record is of what it is here."""
    build(tmp_path / "built", ZLIB, build_id=5)
    (stanza,) = read_index(tmp_path / "built")
    harvest(tmp_path / "built", store, KEYS, [ZLIB], {(ZLIB, stanza["SHA1"]): "https://packages.example"})
    build(tmp_path / "here", ZLIB)
    here = Store(tmp_path / "store of here")
    harvest(tmp_path / "here", here, KEYS, [ZLIB])
    recorded, own = (each.sound(ZLIB, KEYS[ZLIB]) for each in (store, here))
    assert own
    assert recorded == {**own, stores.BINHOST: "https://packages.example"}
    assert recorded["SHA1"] != stanza["SHA1"]


@pytest.mark.parametrize("kind", ["none", "other", "kind"])
def test_what_is_no_package_is_refused(store: Store, tmp_path: Path, kind: str) -> None:
    """And nothing of it is left."""
    odd = [member("image/x", kind=b"Z")]
    packages = {"none": b"text", "other": gpkg("lab/other-1", []), "kind": gpkg(ZLIB, odd)}
    (tmp_path / "built").mkdir()
    (tmp_path / "built/x").write_bytes(packages[kind])
    write_index(tmp_path / "built", [{"CPV": ZLIB, "PATH": "x", **stores.digests(tmp_path / "built/x")}])
    said = {"none": "not a whole", "other": "it is lab/other-1", "kind": "'image/x' is of a kind"}
    with pytest.raises(BuildError, match=f"the binary package of {ZLIB}: .*{said[kind]}"):
        harvest(tmp_path / "built", store, KEYS, [ZLIB])
    assert store.packages() == {}


@pytest.mark.parametrize("by", ["path", "link"])
def test_no_file_from_elsewhere_gets_into_the_store(store: Store, tmp_path: Path, by: str) -> None:
    """A build writes the view and its index as it likes, and packages of the store are in later views."""
    victim = tmp_path / "victim"
    victim.write_text("unharmed")
    build(tmp_path / "built", ZLIB)
    stanza = read_index(tmp_path / "built")[0]
    if by == "path":
        stanza["PATH"] = str(victim)
    else:
        (tmp_path / "built" / stanza["PATH"]).unlink()
        (tmp_path / "built" / stanza["PATH"]).symlink_to(victim)
    write_index(tmp_path / "built", [{**stanza, "SIZE": "8"}])
    harvest(tmp_path / "built", store, KEYS, [ZLIB])
    for path in store.folder.rglob("*.tar"):
        path.write_text("changed")
    assert victim.read_text() == "unharmed"


@pytest.mark.parametrize("size", [0, 1, 10])
def test_a_truncated_package_is_not_used(full: Store, tmp_path: Path, size: int) -> None:
    with full.path(ZLIB, KEYS[ZLIB]).open("r+b") as file:
        file.truncate(size)
    folder, missing = view(tmp_path, full, KEYS)
    assert missing == [ZLIB]
    assert [stanza["CPV"] for stanza in read_index(folder)] == [MUSL]
    build(folder, ZLIB, build_id=2)
    assert harvest(folder, full, KEYS, missing) == [ZLIB]
    assert view(tmp_path, full, KEYS)[1] == []


@pytest.mark.parametrize("text", [None, "", "CPV: sys-libs/zlib-1.3.1-r2\n", "SIZE: 30\n", "SIZE: many\n", "\0"])
def test_a_package_without_a_good_record_is_not_used(full: Store, tmp_path: Path, text: str | None) -> None:
    record = full.folder / f"sys-libs/zlib-1.3.1-r2-{'a' * 32}.index"
    record.unlink()
    if text is not None:
        record.write_text(text)
    assert view(tmp_path, full, KEYS)[1] == [ZLIB]


def test_a_package_of_the_same_size_and_other_content_is_dropped(full: Store, tmp_path: Path) -> None:
    package = full.path(ZLIB, KEYS[ZLIB])
    package.write_bytes(bytes([package.read_bytes()[0] ^ 1]) + package.read_bytes()[1:])
    assert view(tmp_path, full, KEYS)[1] == [ZLIB]
    assert not package.exists()
    assert view(tmp_path, full, KEYS)[1] == [ZLIB]


def test_what_is_removed_from_a_linked_view_stays_in_the_other(full: Store, tmp_path: Path) -> None:
    folder, _ = view(tmp_path, full, KEYS)
    link_view(folder, tmp_path / "own")
    check_view(tmp_path / "own", KEYS)
    (tmp_path / "own/sys-libs/musl/musl-1.2.5-1.gpkg.tar").unlink()
    check_view(folder, KEYS)


def test_replacing_a_package_of_a_view_leaves_the_store(full: Store, tmp_path: Path) -> None:
    folder, _ = view(tmp_path, full, KEYS)
    before = full.path(ZLIB, KEYS[ZLIB]).read_bytes()
    new = folder / "new"
    new.write_text("replaced, as Portage does")
    new.replace(folder / "sys-libs/zlib/zlib-1.3.1-r2-1.gpkg.tar")
    assert full.path(ZLIB, KEYS[ZLIB]).read_bytes() == before


def test_a_view_is_checked(full: Store, tmp_path: Path) -> None:
    folder, _ = view(tmp_path, full, KEYS)
    with pytest.raises(BuildError, match=r"was damaged \(sys-libs/zlib-1\.3\.1-r2\); run it again"):
        check_view(folder, {MUSL: KEYS[MUSL]})
    with pytest.raises(BuildError, match=r"\(app-misc/other-1\)"):
        check_view(folder, {**KEYS, "app-misc/other-1": ""})
    (folder / "sys-libs/musl/musl-1.2.5-1.gpkg.tar").unlink()
    with pytest.raises(BuildError, match=r"musl-1\.2\.5-1\.gpkg\.tar"):
        check_view(folder, KEYS)
    (folder / INDEX).unlink()
    with pytest.raises(BuildError):
        check_view(folder, KEYS)


@pytest.mark.parametrize("damage", [b"\xff", b"PATH: ", b"SIZE: ", b"SHA1: ", b"CPV: "])
def test_a_damaged_index_is_said(full: Store, tmp_path: Path, damage: bytes) -> None:
    """Bytes that are no text, or a line that is cut off; nothing of it gets into the store."""
    folder, _ = view(tmp_path, full, KEYS)
    index = folder / INDEX
    text = index.read_bytes()
    index.write_bytes(text.replace(b": ", damage) if damage == b"\xff" else text.replace(damage, b"X"))
    other = Store(tmp_path / "other")
    harvest(folder, other, KEYS, KEYS)
    assert view(tmp_path, other, KEYS)[1] == [MUSL, ZLIB]
    if damage != b"SIZE: ":
        with pytest.raises(BuildError, match=r"was damaged \(.*\); run it again"):
            check_view(folder, KEYS)


def test_index_says_nothing_of_time(full: Store, tmp_path: Path) -> None:
    one, _ = view(tmp_path, full, KEYS)
    other, _ = view(tmp_path, full, dict(reversed(KEYS.items())))
    assert (one / INDEX).read_bytes() == (other / INDEX).read_bytes()


def test_portage_reads_the_same(full: Store, tmp_path: Path) -> None:
    pytest.importorskip("portage")
    folder, _ = view(tmp_path, full, KEYS)
    code = (
        "import io, json, sys; from portage.getbinpkg import PackageIndex\n"
        "index = PackageIndex(); index.read(io.StringIO(open(sys.argv[1]).read()))\n"
        "print(json.dumps([index.header, index.packages]))"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(folder / INDEX)], capture_output=True, text=True, check=True)
    header, packages = json.loads(ran.stdout)
    assert (header["VERSION"], header["PACKAGES"]) == ("0", "2")
    assert packages == read_index(folder)


@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.from_regex(r"\A[A-Z_0-9]+\Z"), line)))
def test_index_is_read_back_as_written(tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("index")
    stanzas = [{**stanza, "CPV": "a/b-1"} for stanza in found]
    write_index(folder, stanzas)
    assert read_index(folder) == stanzas


@given(st.dictionaries(st.from_regex(r"\A[A-Z_0-9]+\Z"), line))
def test_stanza_is_read_back_as_written(stanza: dict[str, str]) -> None:
    assert package_index.parse_stanza(package_index.format_stanza(stanza)) == stanza
