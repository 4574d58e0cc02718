from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.errors import BuildError
from quern.portage import lockfile
from quern.portage.lockfile import Locked
from quern.portage.plan import Package, Plan
from tests.projects import write

A, B = "a" * 64, "b" * 64
ZLIB = Locked(
    "sys-libs/zlib-1.3.1", "0/1", "tree", ("-minizip", "static-libs"), A, {"x": B}, B, {"z.tar": "5 SHA512 0f"}
)
TEXT = f"""\
# Written by quern: every package of the image, and what it is built from.

sys-libs/zlib-1.3.1:0/1::tree
  USE -minizip static-libs
  EBUILD SHA256 {A}
  ECLASS x SHA256 {B}
  FILES SHA256 {B}
  DIST z.tar 5 SHA512 0f
"""


def test_text() -> None:
    assert lockfile.text([ZLIB]) == TEXT
    assert lockfile.text([]) == lockfile.HEADER


def test_what_is_written_is_read_and_what_is_read_is_written() -> None:
    assert lockfile.parse(TEXT, "lock") == [ZLIB]
    assert lockfile.parse(TEXT.replace("\n", "\r\n"), "lock") == [ZLIB]


NAME = st.sampled_from(["a", "zlib", "gtk+", "x_y", "c2-d"])
DIGEST = st.sampled_from([A, B])
PACKAGES = st.builds(
    Locked,
    cpv=st.builds("lib/{}-{}".format, NAME, st.sampled_from(["1", "1.2-r3", "9999"])),
    slot=st.sampled_from(["0", "0/1.2", "3"]),
    repository=st.sampled_from(["gentoo", "my-own"]),
    use=st.lists(st.builds("{}{}".format, st.sampled_from(["", "-"]), NAME), max_size=3).map(tuple),
    ebuild=DIGEST,
    eclasses=st.dictionaries(NAME, DIGEST, max_size=2),
    files=st.sampled_from(["", A]),
    distfiles=st.dictionaries(NAME, st.sampled_from(["5 SHA512 0f", "6 BLAKE2B 1e SHA512 0f"]), max_size=2),
    binhost=st.sampled_from(["", "https://packages.example/amd64"]),
)


@given(st.lists(PACKAGES, max_size=4))
def test_any_lock_is_read_as_it_was_written(packages: list[Locked]) -> None:
    found = lockfile.parse(lockfile.text(packages), "lock")
    assert found == sorted(packages, key=lambda package: package.cpv)
    assert lockfile.text(found) == lockfile.text(packages)


def test_what_a_later_version_adds_is_passed_over() -> None:
    assert lockfile.parse(TEXT + "  SIGNED_BY someone 5\n  BUILT\n# a remark\n", "lock") == [ZLIB]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  USE", "<<<<<<< HEAD\n  USE", "lock:4: expected a line of a lock, got '<<<<<<< HEAD' (a merge that is not"),
        (
            "  FILES",
            "=======\n  FILES",
            "lock:7: expected a line of a lock, got '=======' (a merge that is not finished?)",
        ),
        ("sys-libs/zlib", "  sys-libs/zlib", "lock:3: "),
        ("::tree", "", "lock:3: expected a line of a lock, got 'sys-libs/zlib-1.3.1:0/1'"),
        (f"EBUILD SHA256 {A}", f"EBUILD SHA256 {A[1:]}", "lock:5: "),
        ("  EBUILD SHA256", "  EBUILD", "lock:5: "),
        ("  DIST z.tar 5 SHA512", "  DIST", "lock:8: "),
        ("  USE -minizip", "USE -minizip", "lock:4: "),
        ("  USE", "  use", "lock:4: "),
    ],
)
def test_what_is_no_lock(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(BuildError) as error:
        lockfile.parse(TEXT.replace(old, new), "lock")
    assert str(error.value).startswith(message)


def test_name_and_version() -> None:
    assert (ZLIB.name, ZLIB.version) == ("sys-libs/zlib", "1.3.1")
    other = ZLIB._replace(cpv="dev-lang/python-exec-2.4.10-r1")
    assert (other.name, other.version) == ("dev-lang/python-exec", "2.4.10-r1")


def test_of_a_plan(tmp_path: Path) -> None:
    tree = write(
        tmp_path,
        {
            "eclass/x.eclass": "X",
            "sys-libs/zlib/zlib-1.3.1.ebuild": "E",
            "sys-libs/zlib/files/fix.patch": "P",
            "sys-libs/zlib/Manifest": "DIST z.tar 5 SHA512 0f\nDIST old.tar 5 SHA512 00\n",
            "virtual/libc/libc-1.ebuild": "V",
        },
    )

    (tree / "virtual/libc/files").mkdir()  # a clone has no empty folders
    bare = Package(
        cpv="virtual/libc-1",
        slot="0",
        subslot="0",
        repository="tree",
        use=(),
        iuse=(),
        flags=("amd64",),
        on_host=False,
        ebuild=str(tree / "virtual/libc/libc-1.ebuild"),
        eclasses={},
        distfiles=(),
        build_deps=(),
        run_deps=(),
    )
    zlib = replace(
        bare,
        cpv="sys-libs/zlib-1.3.1",
        subslot="1",
        use=("static-libs",),
        flags=("amd64", "static-libs"),
        iuse=("minizip", "static-libs"),
        ebuild=str(tree / "sys-libs/zlib/zlib-1.3.1.ebuild"),
        eclasses={"x": str(tree / "eclass/x.eclass")},
        distfiles=("z.tar",),
    )
    packages = lockfile.of_plan(Plan((zlib, bare), {"CFLAGS": "-O2"}))
    own = packages[0]
    assert own == ZLIB._replace(ebuild=own.ebuild, eclasses=own.eclasses, files=own.files)
    assert packages[1] == Locked("virtual/libc-1", "0", "tree", (), packages[1].ebuild, {}, "", {})
    text = lockfile.text(packages)
    assert lockfile.parse(text, "lock") == packages
    assert str(tmp_path) not in text
    for file in ("eclass/x.eclass", "sys-libs/zlib/zlib-1.3.1.ebuild", "sys-libs/zlib/files/fix.patch"):
        write(tree, {file: "changed"})
        former, text = text, lockfile.text(lockfile.of_plan(Plan((zlib, bare), {})))
        assert text != former


def test_packages_of_a_file(tmp_path: Path) -> None:
    assert lockfile.cpvs(write(tmp_path, {"lock": TEXT}) / "lock") == ["sys-libs/zlib-1.3.1"]
