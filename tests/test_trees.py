"""quern.worker.trees on real trees."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.worker import WorkerError, trees
from tests.conftest import needs_root, tool
from tests.trees import add_special, make_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "root")


def digest(top: Path) -> str:
    return str(trees.digest(str(top))["digest"])


def touch_all(top: Path) -> None:
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            os.utime(os.path.join(folder, name), (1, 1), follow_symlinks=False)


def instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda top: (top / "usr/lib/one").write_bytes(bytes(512)),
    "mode": lambda top: (top / "usr/lib/one").chmod(0o640),
    "folder mode": lambda top: (top / "usr/lib").chmod(0o700),
    "new empty folder": lambda top: (top / "usr/new").mkdir(),
    "name": lambda top: (top / "usr/lib/one").rename(top / "usr/lib/eins"),
    "link target": lambda top: instead(top / "lib", lambda link: link.symlink_to("usr/bin")),
    "file to link": lambda top: instead(top / "usr/lib/empty", lambda link: link.symlink_to("x")),
    "fifo to file": lambda top: instead(top / "fifo", lambda file: file.touch()),
    "hard link undone": lambda top: instead(
        top / "usr/bin/alias", lambda file: shutil.copy2(top / "usr/bin/tool", file)
    ),
    "gone": lambda top: (top / "usr/lib/empty").unlink(),
    "attribute": lambda top: os.setxattr(top / "usr/lib/one", "user.test", b"x"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_digest_sees(tree: Path, change: str) -> None:
    before = digest(tree)
    CHANGES[change](tree)
    assert digest(tree) != before


def test_digest_does_not_see_times_sockets_place_or_its_own_mode(tree: Path, tmp_path: Path) -> None:
    before = trees.digest(str(tree))
    touch_all(tree)
    (tree / "socket").unlink()
    tree.chmod(0o700)
    moved = tree.rename(tmp_path / "elsewhere")
    assert trees.digest(str(moved)) == before
    assert before["bytes"] == 3_000_000 + 512 + 513 + len("long") + len("odd") + len("not UTF-8")


def test_digest_of_files_that_swap_content(tmp_path: Path) -> None:
    for number, (one, two) in enumerate([("ab", "c"), ("a", "bc")]):
        top = tmp_path / str(number)
        top.mkdir()
        (top / "1").write_text(one)
        (top / "2").write_text(two)
    assert digest(tmp_path / "0") != digest(tmp_path / "1")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_tree_is_moved(tree: Path, tmp_path: Path, elsewhere: bool) -> None:
    """As a whole; to another file system by a copy, with times and hard links."""
    if os.geteuid() == 0:
        add_special(tree)
    before = trees.digest(str(tree))
    times = os.lstat(tree / "lib").st_mtime_ns, os.stat(tree / "usr/lib").st_mtime_ns
    assert 3_000_000 < before["disk"] < 4_000_000  # of the hard links one counts
    with tempfile.TemporaryDirectory(dir="/dev/shm" if elsewhere else tmp_path) as folder:
        target = Path(folder, "moved")
        assert (target.parent.stat().st_dev != tree.stat().st_dev) == elsewhere
        trees.move(str(tree), str(target))
        assert digest(target) == before["digest"]
        assert (os.lstat(target / "lib").st_mtime_ns, os.stat(target / "usr/lib").st_mtime_ns) == times
        assert (target / "usr/bin/tool").stat().st_nlink == 2
    assert not tree.exists()


def test_clone_shares_files_and_says_what_it_left_out(tree: Path, tmp_path: Path) -> None:
    before = digest(tree)
    rules = ["/usr/lib/o*", "/usr/lib", "/lib/two", "/nothing"]
    summary = trees.clone(str(tree), str(tmp_path / "clone"), rules)
    assert digest(tree) == before
    assert [(rule["rule"], rule["paths"], rule["files"], rule["bytes"]) for rule in summary["rules"]] == [
        ("/usr/lib/o*", 1, 1, 512),
        ("/usr/lib", 1, 3, 1025),
        ("/lib/two", 1, 1, 513),
        ("/nothing", 0, 0, 0),
    ]
    assert summary["removed"] == {"files": 3, "bytes": 1025}
    assert not (tmp_path / "clone/usr/lib").exists()
    assert (tmp_path / "clone/usr/bin/tool").samefile(tree / "usr/bin/tool")
    shutil.rmtree(tree / "usr/lib")
    assert digest(tmp_path / "clone") == digest(tree)


def test_clone_without_rules_is_equal(tree: Path, tmp_path: Path) -> None:
    trees.clone(str(tree), str(tmp_path / "clone"), [])
    assert digest(tmp_path / "clone") == digest(tree)


def test_clone_drops_the_first_name_of_a_hard_link(tree: Path, tmp_path: Path) -> None:
    trees.clone(str(tree), str(tmp_path / "clone"), ["/usr/bin/alias"])
    assert (tmp_path / "clone/usr/bin/tool").samefile(tree / "usr/bin/tool")
    (tree / "usr/bin/alias").unlink()
    assert digest(tmp_path / "clone") == digest(tree)


def test_clone_refuses_a_target_that_exists(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        trees.clone(str(tree), str(tmp_path), [])


def test_remove(tree: Path, tmp_path: Path) -> None:
    (tree / "out").symlink_to(tmp_path)
    trees.remove(str(tree), str(tmp_path))
    assert not tree.exists()
    trees.remove(str(tree), str(tmp_path))  # nothing there: nothing to do
    (tmp_path / "keep").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "keep")
    trees.remove(str(tmp_path / "link"), str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep"]


def test_remove_refuses_what_is_outside(tmp_path: Path) -> None:
    work, other = tmp_path / "work", tmp_path / "work-other"
    work.mkdir()
    other.mkdir()
    (work / "leaves").symlink_to(other)
    (other / "x").mkdir()
    for path in (work, tmp_path, other, work / ".." / "work-other", work / "leaves" / "x", Path("/")):
        with pytest.raises(WorkerError, match="refusing to remove"):
            trees.remove(str(path), str(work))
    with pytest.raises(WorkerError, match="refusing"):
        trees.remove(str(work), "/")
    assert (other / "x").is_dir()


@needs_root
def test_remove_refuses_a_mount(tmp_path: Path) -> None:
    inside = tmp_path / "work/root/a b"
    inside.mkdir(parents=True)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    script = (
        'mount --bind "$1/precious" "$1/work/root/a b" && exec "$2" -c '
        "'import sys; from quern.worker.trees import remove; remove(sys.argv[1], sys.argv[2])' "
        '"$1/work/root" "$1/work"'
    )
    python = str(tool("python3", "python3"))
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), python],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert "is mounted there" in ran.stderr
    assert (precious / "file").exists()


@needs_root
def test_an_ordinary_user(tmp_path: Path, as_nobody: Callable[[Path, str], str]) -> None:
    """Removes what he closed to himself, and gets one clear sentence for what belongs to root."""
    tmp_path.chmod(0o777)
    code = (
        "import os, sys; from quern.worker import WorkerError, trees\n"
        "os.makedirs('mine/closed/deep'); os.chmod('mine/closed/deep', 0); os.chmod('mine/closed', 0o100)\n"
        "trees.remove('mine', '.'); print(os.path.exists('mine'))\n"
        "try: trees.remove('roots', '.')\n"
        "except WorkerError as error: print(error)\n"
    )
    (tmp_path / "roots/folder").mkdir(parents=True)
    (tmp_path / "roots/folder/file").touch()
    lines = as_nobody(tmp_path, code).splitlines()
    assert lines[0] == "False"
    where = tmp_path / "roots/folder/file"
    assert lines[1:] == [f"cannot remove roots: no permission for {where} (made by root? then as root)"]
