from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from quern.errors import naming, of_the_machine, removed_meanwhile
from tests.projects import write


def refusal(error: OSError) -> str | None:
    said = of_the_machine(error)
    return str(said) if said else None


@pytest.mark.parametrize("name", ["EACCES", "EPERM", "EROFS", "EIO", "ENOSPC", "EDQUOT", "ENAMETOOLONG"])
def test_what_the_machine_refuses(name: str) -> None:
    number = getattr(errno, name)
    said = refusal(OSError(number, os.strerror(number), "/w/file"))
    assert said is not None
    assert said.startswith(f"/w/file: {os.strerror(number)}")


def test_what_another_run_has_removed(tmp_path: Path) -> None:
    """Of our work folder alone: elsewhere it is a defect."""
    work = tmp_path / "work"
    said = removed_meanwhile(FileNotFoundError(errno.ENOENT, "No such file", f"{work}/root.json"), work)
    assert str(said) == f"{work}/root.json was removed meanwhile, as `doit clean` does; run it again"
    for where in (f"{work}er/root.json", None):
        assert removed_meanwhile(FileNotFoundError(errno.ENOENT, "No such file", where), work) is None
    assert removed_meanwhile(PermissionError(errno.EACCES, "Permission denied", f"{work}/root.json"), work) is None


def test_something_else_is_in_our_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name, where, reason in (
        ("file", "file/x", "Not a directory"),
        ("dangling", "dangling", "File exists"),
        ("loop", "loop/x", "Too many levels of symbolic links"),
    ):
        with pytest.raises(OSError, match=reason) as caught:
            (tmp_path / where).mkdir()
        assert refusal(caught.value) == f"{tmp_path / where}: {reason}", name
    with pytest.raises(OSError, match="not empty") as caught:
        tmp_path.rmdir()
    assert refusal(caught.value) == f"{tmp_path}: Directory not empty"
    with pytest.raises(IsADirectoryError) as caught:
        tmp_path.write_text("x")
    assert refusal(caught.value) == f"{tmp_path}: Is a directory"


def test_full_names_the_file_that_found_no_room() -> None:
    assert refusal(OSError(errno.ENOSPC, "No space", "/from", None, "/to")) == "/to: No space"
    assert refusal(OSError(errno.ENOSPC, "No space", "/to")) == "/to: No space"
    assert refusal(OSError(errno.ENOSPC, "No space")) == "the disk: No space"
    assert refusal(OSError(errno.EIO, "Failing", "/from", None, "/to")) == "/from: Failing"


def test_a_write_that_is_refused_names_its_file() -> None:
    with pytest.raises(OSError, match="No space") as caught, naming(Path("/w/file")), open("/dev/full", "w") as full:
        full.write("x")
    assert refusal(caught.value) == "/w/file: No space left on device"
    with pytest.raises(FileNotFoundError) as absent, naming(Path("/w/file")):
        Path("/nowhere").read_text()
    assert absent.value.filename == "/nowhere"


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "x", "y"), OSError(errno.EINVAL, "x"), OSError("x")])
def test_a_defect_is_none(error: OSError) -> None:
    assert of_the_machine(error) is None


def test_copying_a_folder_names_the_file_that_found_no_room(tmp_path: Path) -> None:
    """shutil.copytree collects errors, without their numbers."""
    write(tmp_path, {"source/below/file": "text"})

    def refuse(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)

    with pytest.raises(shutil.Error) as caught, naming(tmp_path):
        shutil.copytree(tmp_path / "source", tmp_path / "target", copy_function=refuse)
    assert str(of_the_machine(caught.value)) == f"{tmp_path}/target/below/file: No space left on device"
