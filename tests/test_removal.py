"""quern.worker.removal: trees that nobody else can remove."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from quern.worker import trees
from quern.worker.removal import remove_tree
from tests.conftest import needs_root
from tests.left import ODD, chain, within
from tests.projects import write


def test_deeper_than_a_path_can_say(tmp_path: Path) -> None:
    """And than Python recurses, or a process may have files open."""
    (tmp_path / "top").mkdir()
    chain(tmp_path / "top", 1100, "folder")
    with within(60):
        trees.remove(str(tmp_path / "top"), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_everything_that_is_no_folder(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"precious": ""})
    (tmp_path / "top/folder").mkdir(parents=True)
    for number, make in enumerate(ODD.values()):
        make(tmp_path / f"top/folder/{number}")
    (tmp_path / "top/folder/out").symlink_to(outside)
    (tmp_path / "top/out").symlink_to(outside)
    (tmp_path / os.fsdecode(b"top/\xff\n")).touch()
    with within(30):
        remove_tree(os.fsencode(tmp_path / "top"))
        remove_tree(os.fsencode(tmp_path / "top"))  # nothing there: nothing to do
        remove_tree(os.fsencode(tmp_path / "nowhere/top"))
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "precious").exists()


def test_many_names(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"top/{number % 10}/{number}").mkdir(parents=True)
    remove_tree(os.fsencode(tmp_path / "top"))
    assert list(tmp_path.iterdir()) == []


@needs_root
def test_closed_folders(tmp_path: Path, as_nobody: Callable[[Path, str], str]) -> None:
    """An ordinary user's own are opened; of another's, the message says which."""
    tmp_path.chmod(0o777)
    (tmp_path / "mixed").mkdir(mode=0o777)
    (tmp_path / "mixed").chmod(0o777)
    (tmp_path / "mixed/roots").mkdir(mode=0o700)
    code = (
        "import os; from quern.worker import removal\n"
        "os.makedirs('mine/a/b/c'); open('mine/a/b/file', 'w').close()\n"
        "[os.chmod(path, 0) for path in ('mine/a/b/c', 'mine/a/b', 'mine/a', 'mine')]\n"
        "removal.remove_tree(b'mine'); print(os.listdir('.'))\n"
        "try: removal.remove_tree(b'mixed')\n"
        "except OSError as error: print(error)\n"
    )
    lines = as_nobody(tmp_path, code).splitlines()
    assert lines == ["['mixed']", "[Errno 13] Permission denied: b'mixed/roots'"]


def test_a_name_too_long_for_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain(tmp_path)
    name = os.fsencode(tmp_path / ("folder" * 40))

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device", "folder")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", full)
        with pytest.raises(OSError, match="No space left") as raised:
            remove_tree(name)
    remove_tree(name)  # pytest cannot
    assert raised.value.filename == name
