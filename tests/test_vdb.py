from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.worker.vdb import described, finish, merged
from tests.projects import write

CONTENTS = """\
dir /usr
dir /usr/bin
obj /usr/bin/my tool 0123456789abcdef0123456789abcdef 1795404000
sym /usr/bin/alias -> my tool 1795404001
dir /var/empty
obj /var/empty/.keep_app-misc_one-0 d41d8cd98f00b204e9800998ecf8427e 1795404002
"""


def entry(root: Path, cpv: str, contents: str = CONTENTS, **files: str) -> Path:
    """Write a database entry with the files that Portage writes."""
    return write(
        root / "var/db/pkg" / cpv,
        {
            "repository": "tree\n",
            "SLOT": "0/1.2\n",
            "IUSE": "+ssl -test doc\n",
            "USE": "amd64 elibc_musl ssl\n",
            "CONTENTS": contents,
            "COUNTER": "17\n",
            "BUILD_TIME": "1795404000\n",
            "BUILD_ID": "3\n",
            "SIZE": "100\n",
            "BINPKGMD5": "0123456789abcdef0123456789abcdef\n",
            "environment.bz2": "compressed with this machine's paths in it",
            "metadata": "#format=1\nBUILD_TIME=1795404000\n#dir_mtime=1795404000000000000\n",
            "RDEPEND": "lib/libc:0/1=\n",
            **files,
        },
    )


def test_merged(tmp_path: Path) -> None:
    entry(tmp_path, "lib/zlib-1.3-r2", "")
    entry(tmp_path, "app-misc/one-1", IUSE="", SLOT="2\n")
    entry(tmp_path, "app-misc/-MERGING-two-1")
    write(tmp_path / "var/db/pkg", {".cache/x": "", "lib/.zlib-1.3.portage_lockfile": ""})
    assert merged(str(tmp_path))["packages"] == [
        {"cpv": "app-misc/one-1", "repository": "tree", "slot": "2", "use": []},
        {"cpv": "lib/zlib-1.3-r2", "repository": "tree", "slot": "0", "use": ["ssl"]},
    ]


def test_nothing_merged(tmp_path: Path) -> None:
    assert merged(str(tmp_path)) == {"packages": [], "shared": []}
    assert merged(str(tmp_path / "absent")) == {"packages": [], "shared": []}


def test_described(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1", LICENSE="MIT\n", HOMEPAGE="https://a.example/\nhttps://b.example/\n")
    entry(tmp_path, "app-misc/-MERGING-two-1")
    assert described(str(tmp_path), "LICENSE", "HOMEPAGE", "ABSENT") == {
        "app-misc/one-1": {"LICENSE": "MIT", "HOMEPAGE": "https://a.example/ https://b.example/", "ABSENT": ""}
    }


def test_files_of_two_packages(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1")
    entry(
        tmp_path,
        "app-misc/two-1",
        "dir /usr/bin\nsym /usr/bin/my tool -> x 1\nobj /usr/bin/other 0 1\nobj /usr/a.pyc 0 1\n"
        "obj /var/empty/.keep_app-misc_two-0 0 1\n",
    )
    entry(tmp_path, "app-misc/three-1", "obj /usr/bin/alias 0 1\nobj /usr/a.pyc 0 1\n")
    assert merged(str(tmp_path))["shared"] == [
        ["/usr/bin/alias", "app-misc/one-1", "app-misc/three-1"],
        ["/usr/bin/my tool", "app-misc/one-1", "app-misc/two-1"],
    ]


def test_finish_gives_entries_the_same_bytes(tmp_path: Path) -> None:
    for number, root in enumerate((tmp_path / "one", tmp_path / "two")):
        later = CONTENTS.replace("17954040", f"1795404{number}")
        lines = later.splitlines(keepends=True)
        noise = {"COUNTER": f"{number}\n", "BUILD_TIME": f"{number}\n", "BUILD_ID": f"{number}\n"}
        noise["FEATURES"] = f"strict {'unprivileged' * number}\n"
        noise["NEEDED"] = "".join(["/lib/one libc.so\n", "/lib/two libc.so\n"][:: 1 - 2 * number])
        entry(root, "app-misc/one-1", "".join(lines[:: 1 - 2 * number]), **noise)
        finish(str(root), 315532800)
    one, two = (
        {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two
    folder = "var/db/pkg/app-misc/one-1"
    assert one[f"{folder}/CONTENTS"].splitlines() == [
        "dir /usr",
        "dir /usr/bin",
        "dir /var/empty",
        "obj /usr/bin/my tool 0123456789abcdef0123456789abcdef 315532800",
        "sym /usr/bin/alias -> my tool 315532800",
    ]
    assert one[f"{folder}/COUNTER"] == one[f"{folder}/BUILD_TIME"] == "0\n"
    assert (
        not {
            f"{folder}/{name}" for name in ("BUILD_ID", "SIZE", "BINPKGMD5", "FEATURES", "environment.bz2", "metadata")
        }
        & one.keys()
    )
    assert one[f"{folder}/NEEDED"] == "/lib/one libc.so\n/lib/two libc.so\n"
    assert one[f"{folder}/RDEPEND"] == "lib/libc:0/1=\n"


def test_finish_twice_is_finish_once(tmp_path: Path) -> None:
    folder = entry(tmp_path, "app-misc/one-1")
    finish(str(tmp_path), 1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert finish(str(tmp_path), 1) == {"removed": []}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_finish_removes_what_merging_leaves(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1")
    write(
        tmp_path,
        {
            **{f"{name}/x/y": "" for name in ("var/lib/portage", "var/cache/edb", "etc/portage/savedconfig")},
            **dict.fromkeys(("etc/passwd-", "etc/profile.env", "etc/ld.so.conf", "etc/env.d/02locale"), ""),
            **dict.fromkeys(("etc/passwd", "var/lib/mine", "var/cache/mine"), "kept"),
            "var/empty/.keep_app-misc_one-0": "",
            "usr/.keep_mine": "not empty: somebody's own",
        },
    )
    removed = finish(str(tmp_path), 1)["removed"]
    assert set(removed) >= {"/var/lib/portage", "/etc/passwd-", "/etc/env.d", "/etc/profile.env"}
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if "var/db" not in str(path)}
    assert left == {
        "etc", "etc/passwd", "usr", "usr/.keep_mine", "var", "var/cache", "var/cache/mine", "var/empty",
        "var/lib", "var/lib/mine",
    }  # fmt: skip


def test_finish_keeps_the_environment_of_a_package_that_sets_it(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1", "obj /etc/env.d/02locale 0 1\n")
    write(tmp_path, {"etc/env.d/02locale": "LANG=C\n", "etc/profile.env": "export LANG=C\n"})
    assert finish(str(tmp_path), 1) == {"removed": []}


@pytest.mark.parametrize("link", ["tmp", "var", "etc"])
def test_finish_never_leaves_the_root_by_a_link(tmp_path: Path, link: str) -> None:
    """An image's /tmp may be a link to /var/tmp, and this machine has one as well."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    write(
        outside,
        {"portage/mine": "", "lib/portage/world": "", "passwd-": "", "cache/edb/dep": "", "db/pkg/a/b-1/COUNTER": "7"},
    )
    (outside / "portage/empty").mkdir()
    (root / link).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    assert finish(str(root), 1) == {"removed": []}
    assert sorted(outside.rglob("*")) == before
    assert (outside / "db/pkg/a/b-1/COUNTER").read_text() == "7"


def test_finish_follows_no_link_in_the_database(tmp_path: Path) -> None:
    """Whoever wrote the ebuild wrote to the root as well."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside, {"one-1/COUNTER": "7", "CONTENTS": CONTENTS})
    folder = entry(root, "app-misc/one-1")
    (folder / "COUNTER").unlink()
    (folder / "COUNTER").symlink_to(outside / "one-1/COUNTER")
    (root / "var/db/pkg/category").symlink_to(outside)
    (root / "var/db/pkg/app-misc/two-1").symlink_to(outside / "one-1")
    finish(str(root), 1)
    assert (outside / "one-1/COUNTER").read_text() == "7"
    assert (folder / "COUNTER").read_text() == "0\n"
    assert [package["cpv"] for package in merged(str(root))["packages"]] == ["app-misc/one-1"]
    (folder / "CONTENTS").unlink()
    (folder / "CONTENTS").symlink_to(outside / "CONTENTS")
    with pytest.raises(OSError, match="expected a file, got a link"):
        finish(str(root), 1)
    assert (outside / "CONTENTS").read_text() == CONTENTS


def test_finish_leaves_a_link_that_is_called_like_a_marker(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    (tmp_path / "var/.keep_it").symlink_to("nowhere")
    finish(str(tmp_path), 0)
    assert (tmp_path / "var/.keep_it").is_symlink()


def test_finish_follows_links_within_the_root(tmp_path: Path) -> None:
    write(tmp_path, {"var/tmp/portage/x": ""})
    (tmp_path / "tmp").symlink_to("var/tmp")
    assert finish(str(tmp_path), 1) == {"removed": ["/tmp/portage"]}
    assert os.listdir(tmp_path / "var/tmp") == []
