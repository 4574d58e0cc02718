from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from quern.worker.vdb import described, finish, owners
from tests.conftest import needs_root
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


def test_described(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1", LICENSE="MIT\n", HOMEPAGE="https://a.example/\nhttps://b.example/\n")
    entry(tmp_path, "app-misc/-MERGING-two-1")
    assert described(str(tmp_path), ["LICENSE", "HOMEPAGE", "ABSENT"]) == {
        "app-misc/one-1": {"LICENSE": "MIT", "HOMEPAGE": "https://a.example/ https://b.example/", "ABSENT": ""}
    }


def test_finish_removes_what_merging_leaves(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1")
    write(
        tmp_path,
        {
            **{f"{name}/x/y": "" for name in ("var/lib/portage", "var/cache/edb", "etc/portage/savedconfig")},
            **dict.fromkeys(("etc/passwd-", "etc/profile.env", "etc/ld.so.conf", "etc/env.d/02locale"), ""),
            **dict.fromkeys(("etc/passwd", "var/lib/mine", "var/cache/mine"), "kept"),
        },
    )
    (tmp_path / "tmp").mkdir()
    (tmp_path / "usr/lib/debug/.build-id").mkdir(parents=True)
    finish(str(tmp_path))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if "var/db" not in str(path)}
    assert left == {
        "etc", "etc/passwd", "usr", "usr/lib", "var", "var/cache", "var/cache/mine", "var/lib", "var/lib/mine",
    }  # fmt: skip


def test_finish_keeps_the_environment_of_a_package_that_sets_it(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1", "obj /etc/env.d/02locale 0 1\n")
    write(tmp_path, {"etc/env.d/02locale": "LANG=C\n", "etc/profile.env": "export LANG=C\n"})
    before = sorted(tmp_path.rglob("*"))
    finish(str(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_finish_keeps_an_empty_folder_of_a_package(tmp_path: Path) -> None:
    entry(tmp_path, "app-misc/one-1", "dir /tmp\n")
    (tmp_path / "tmp").mkdir()
    finish(str(tmp_path))
    assert (tmp_path / "tmp").is_dir()


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
    finish(str(root))
    assert sorted(outside.rglob("*")) == before
    assert (outside / "db/pkg/a/b-1/COUNTER").read_text() == "7"


def test_finish_follows_links_within_the_root(tmp_path: Path) -> None:
    write(tmp_path, {"var/tmp/portage/x": ""})
    (tmp_path / "tmp").symlink_to("var/tmp")
    finish(str(tmp_path))
    assert not (tmp_path / "var/tmp").exists()


def test_the_record_of_what_phases_made_is_a_file(tmp_path: Path) -> None:
    """Phases of strangers may write where it lies."""
    entry(tmp_path / "image", "app-misc/one-1")
    write(tmp_path, {"made.json": '{"/var/made": "app-misc/one-1"}'})
    assert owners(str(tmp_path / "image"))["/var/made"] == "app-misc/one-1"
    (tmp_path / "made.json").rename(tmp_path / "elsewhere")
    (tmp_path / "made.json").symlink_to("elsewhere")
    assert "/var/made" not in owners(str(tmp_path / "image"))


@needs_root
@pytest.mark.parametrize("closed", ["var", "var/db/pkg/app-misc", "root"])
def test_folders_that_may_not_be_listed(tmp_path: Path, as_nobody: Callable[[Path, str], str], closed: str) -> None:
    """An ordinary user is not told that there are no packages, or no files."""
    entry(tmp_path / "image", "app-misc/one-1", "obj /root/file 0 1\n")
    write(tmp_path / "image", {"root/file": "text"})
    tmp_path.chmod(0o755)
    (tmp_path / "image" / closed).chmod(0o700)
    code = """
for read in quern.worker.vdb.described, lambda root: quern.worker.inventory.sizes(root, root):
    try:
        print(read("image"))
    except PermissionError as error:
        print("refused")
"""
    lines = as_nobody(tmp_path, code).splitlines()
    assert lines == ["{'app-misc/one-1': {}}" if closed == "root" else "refused", "refused"]
