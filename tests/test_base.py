from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quern.errors import BuildError
from quern.steps import receipt as receipts
from quern.steps.base import clean_step, is_current, key_of, run_step
from quern.steps.receipt import Receipt
from tests.projects import Said, run, write
from tests.test_lock import hold
from tests.toy import ToyStep

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def step(tmp_path: Path) -> ToyStep:
    """The toy step, with `hello` as its source."""
    (tmp_path / "source").write_text("hello")
    return ToyStep(tmp_path / "work", keep_failed=True, source=tmp_path / "source")


def text(step: ToyStep) -> str:
    return (step.place.output / "text").read_text()


def receipt(step: ToyStep) -> Receipt:
    found = receipts.read(step.place.receipt)
    assert found is not None
    return found


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Every path below `folder` with inode and time of change: what any write would show in."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path.relative_to(folder))] = (status.st_ino, status.st_ctime_ns)
    return found


def test_built_once_then_kept(step: ToyStep) -> None:
    assert not is_current(step)
    assert run_step(step, run())
    assert text(step) == "HELLO"
    assert is_current(step)
    assert not run_step(step, run())


def test_asking_writes_nothing(step: ToyStep, tmp_path: Path) -> None:
    before = everything(tmp_path)
    assert not is_current(step)
    assert everything(tmp_path) == before
    run_step(step, run())
    before = everything(tmp_path)
    assert is_current(step)
    assert everything(tmp_path) == before


def test_receipt(step: ToyStep) -> None:
    run_step(step, run())
    found = receipt(step)
    assert found.inputs == {"text": "hello", "format": 1}
    assert found.key == key_of(step.inputs(), step)
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found.digest == run().driver.call("digest", root=str(step.place.output))["digest"]
    assert step.place.digest.read_text() == found.digest + "\n"
    assert step.place.digest_text() == found.digest
    assert found.made == {}


def test_only_output_and_records_stay(step: ToyStep) -> None:
    run_step(step, run())
    step.source.write_text("other")
    run_step(step, run())
    assert sorted(path.name for path in step.work.iterdir()) == ["lock", "logs", "toy", "toy.digest", "toy.json"]


def test_edit_and_edit_taken_back(step: ToyStep) -> None:
    run_step(step, run())
    for word in ("other", "hello"):
        step.source.write_text(word)
        assert not is_current(step)
        assert run_step(step, run())
        assert text(step) == word.upper()


def test_touched_source_is_no_change(step: ToyStep) -> None:
    run_step(step, run())
    os.utime(step.source, (1, 1))
    assert is_current(step)


def test_output_removed(step: ToyStep) -> None:
    run_step(step, run())
    (step.place.output / "text").unlink()
    step.place.output.rmdir()
    assert not is_current(step)
    assert run_step(step, run())
    assert text(step) == "HELLO"


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"format": 1}', b'{"format": 99, "key": "x"}', b'{"format": 1, "made": 1}'],
)
def test_damaged_receipt(step: ToyStep, damage: bytes) -> None:
    run_step(step, run())
    step.place.receipt.write_bytes(damage)
    assert receipts.read(step.place.receipt) is None
    assert not is_current(step)
    assert run_step(step, run())
    assert is_current(step)


def test_receipt_cut_short_anywhere_is_none(step: ToyStep) -> None:
    run_step(step, run())
    whole = step.place.receipt.read_bytes()
    for length in range(len(whole) - 2):
        step.place.receipt.write_bytes(whole[:length])
        assert receipts.read(step.place.receipt) is None


def test_digest_file_removed(step: ToyStep) -> None:
    run_step(step, run())
    before = step.place.digest.read_text()
    step.place.digest.unlink()
    assert not is_current(step)
    assert not run_step(step, run())
    assert step.place.digest.read_text() == before


@pytest.mark.parametrize("damage", [b"", b"\n", b"sha256:0123", b"\xff"])
def test_digest_file_damaged(step: ToyStep, damage: bytes) -> None:
    """The next step would be made from what it says."""
    run_step(step, run())
    before = step.place.digest.read_text()
    step.place.digest.write_bytes(damage)
    assert not is_current(step)
    assert not run_step(step, run())
    assert step.place.digest.read_text() == before
    assert is_current(step)


@pytest.mark.parametrize("damage", ["", "HEL", "HELLO, WORLD"])
def test_a_published_file_damaged(step: ToyStep, tmp_path: Path, damage: str) -> None:
    """Through either of its names: they are one file."""
    step = replace(step, shelf=tmp_path / "shelf")
    run_step(step, run())
    (tmp_path / "shelf/hello.txt").write_text(damage)
    assert not is_current(step)
    assert run_step(step, run())
    assert (tmp_path / "shelf/hello.txt").read_text() == text(step) == "HELLO"


def test_a_receipt_of_a_former_version_knows_no_sizes(step: ToyStep) -> None:
    run_step(step, run())
    found = receipt(step)
    receipts.write(step.place.receipt, found._replace(info={"title": "hello", "tree": found.info["tree"]}))
    assert is_current(step)


def test_digest_file_removed_and_output_changed(step: ToyStep) -> None:
    run_step(step, run())
    step.place.digest.unlink()
    (step.place.output / "text").write_text("CHANGED")
    said = Said()
    assert run_step(step, run(said))
    assert text(step) == "HELLO"
    assert said.lines == [f"{step.place.output} is not what was built there; building it again"]


def test_reboot_digests_the_output_once(step: ToyStep) -> None:
    run_step(step, run())
    _reboot(step)
    assert not is_current(step)
    assert not run_step(step, run())
    assert is_current(step)


def test_reboot_lost_what_was_written(step: ToyStep) -> None:
    run_step(step, run())
    _reboot(step)
    (step.place.output / "text").write_text("")
    assert run_step(step, run())
    assert text(step) == "HELLO"


def _reboot(step: ToyStep) -> None:
    """Make the receipt one of an earlier boot."""
    receipts.write(step.place.receipt, receipt(step)._replace(boot_id="00000000-0000-0000-0000-000000000000"))


def test_failure_leaves_staging_and_the_former_output(step: ToyStep) -> None:
    run_step(step, run())
    former = receipt(step)
    step.source.write_text("fail")
    said = Said()
    with pytest.raises(BuildError, match="asked to fail"):
        run_step(step, run(said))
    assert (step.place.staging / "text").read_text() == "FAIL"
    assert said.lines == [f"What was built so far is in {step.place.staging}"]
    assert text(step) == "HELLO"
    assert receipt(step) == former
    step.source.write_text("well")
    assert run_step(step, run())
    assert not step.place.staging.exists()


def test_failure_leaves_nothing_when_asked(step: ToyStep) -> None:
    step.source.write_text("fail")
    said = Said()
    with pytest.raises(BuildError):
        run_step(replace(step, keep_failed=False), run(said))
    assert not step.place.staging.exists()
    assert said.lines == []


def test_same_bytes_again_stop_the_chain(step: ToyStep) -> None:
    run_step(step, run())
    before, key = step.place.digest.read_bytes(), receipt(step).key
    assert run_step(replace(step, version_of_format=2), run())
    assert step.place.digest.read_bytes() == before
    assert receipt(step).key != key


def test_digest_file_keeps_its_size(step: ToyStep) -> None:
    run_step(step, run())
    before = step.place.digest.stat()
    step.source.write_text("other")
    run_step(step, run())
    after = step.place.digest.stat()
    assert before.st_size == after.st_size
    assert before.st_mtime_ns != after.st_mtime_ns


def test_input_changed_while_building(step: ToyStep) -> None:
    step.source.write_text("edit")
    with pytest.raises(BuildError, match=r"toy: text changed while it was built; nothing was kept, run it again"):
        run_step(step, run())
    assert not step.place.output.exists()
    assert not step.place.receipt.exists()
    assert run_step(step, run())
    assert text(step) == "SOMETHING ELSE"


def test_published_by_hard_link(step: ToyStep, tmp_path: Path) -> None:
    step = replace(step, shelf=tmp_path / "shelf")
    run_step(step, run())
    assert (tmp_path / "shelf/hello.txt").samefile(step.place.output / "text")
    made = (tmp_path / "shelf/hello.txt").stat()
    assert receipt(step).made == {str(tmp_path / "shelf/hello.txt"): [made.st_size, made.st_mtime_ns]}
    assert [path.name for path in (tmp_path / "shelf").iterdir()] == ["hello.txt"]


@pytest.mark.parametrize("content", [None, "ours is gone"])
def test_published_again_without_building(step: ToyStep, tmp_path: Path, content: str | None) -> None:
    step, path = replace(step, shelf=tmp_path / "shelf"), tmp_path / "shelf/hello.txt"
    run_step(step, run())
    path.unlink()
    if content:
        path.write_text(content)
    assert not is_current(step)
    assert not run_step(step, run())
    assert is_current(step)
    assert path.samefile(step.place.output / "text")


def test_published_where_there_are_no_hard_links(
    step: ToyStep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the same size and other content is not taken for the new one (a tar's size is padded)."""
    monkeypatch.setattr(Path, "hardlink_to", _no_hard_links)
    step, path = replace(step, shelf=tmp_path / "shelf"), tmp_path / "shelf/hello.txt"
    run_step(step, run())
    assert is_current(step)
    step.source.write_text("hello World")
    run_step(step, run())
    assert path.read_text() == "HELLO WORLD"
    step.source.write_text("hello World"[::-1].replace("dlroW", "hello"))
    run_step(step, run())
    assert (tmp_path / "shelf/hello.txt").read_text() == step.source.read_text().upper()
    assert is_current(step)


def _no_hard_links(path: Path, target: Path) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_shelf_moved(step: ToyStep, tmp_path: Path) -> None:
    run_step(replace(step, shelf=tmp_path / "shelf"), run())
    moved = replace(step, shelf=tmp_path / "other")
    assert not is_current(moved)
    run_step(moved, run())
    assert (tmp_path / "other/hello.txt").samefile(step.place.output / "text")


def test_shelf_is_no_folder(step: ToyStep, tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("")
    with pytest.raises(BuildError, match=r"shelf/hello\.txt cannot be written: .*; set \[build\] outdir"):
        run_step(replace(step, shelf=tmp_path / "shelf"), run())


def test_what_is_lacking_outside_is_settled_without_building(step: ToyStep, tmp_path: Path) -> None:
    step = replace(step, tag=tmp_path / "tag")
    assert run_step(step, run())
    (tmp_path / "tag").unlink()
    assert not is_current(step)
    assert not run_step(step, run())
    assert (tmp_path / "tag").read_text() == receipt(step).digest


def test_clean_removes_what_was_made_and_nothing_else(step: ToyStep, tmp_path: Path) -> None:
    step = replace(step, shelf=tmp_path / "shelf")
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf/mine.txt").write_text("")
    before = everything(tmp_path).keys()
    run_step(step, run())
    step.source.write_text("other")  # published under another name: the former one was made too
    run_step(step, run())
    step.source.write_text("fail")
    with pytest.raises(BuildError):
        run_step(step, run())
    with_everything = everything(tmp_path)
    announced = clean_step(step, run(), dry=True)
    assert everything(tmp_path) == with_everything
    assert clean_step(step, run(), dry=False) == announced
    assert {tmp_path / "shelf/hello.txt", tmp_path / "shelf/other.txt", step.place.staging} <= set(announced)
    assert everything(tmp_path).keys() == before
    assert clean_step(step, run(), dry=False) == []


def test_clean_leaves_what_another_has_made_under_a_name_that_was_ours(step: ToyStep, tmp_path: Path) -> None:
    step = replace(step, shelf=tmp_path / "shelf")
    run_step(step, run())
    step.source.write_text("other")
    run_step(step, run())
    successor = replace(step, work=tmp_path / "successor", source=write(tmp_path, {"its": "hello"}) / "its")
    run_step(successor, run())
    clean_step(step, run(), dry=False)
    assert is_current(successor)
    assert [path.name for path in (tmp_path / "shelf").iterdir()] == ["hello.txt"]


def test_nothing_half_written_is_left_outside(step: ToyStep, tmp_path: Path) -> None:
    (tmp_path / "shelf/hello.txt").mkdir(parents=True)
    with pytest.raises(BuildError, match=r"hello\.txt cannot be written: Is a directory"):
        run_step(replace(step, shelf=tmp_path / "shelf"), run())
    assert [path.name for path in (tmp_path / "shelf").iterdir()] == ["hello.txt"]


def test_clean_leaves_other_steps(step: ToyStep) -> None:
    run_step(step, run())
    (step.work / "other.json").write_text("{}")
    clean_step(step, run(), dry=False)
    assert {path.name for path in step.work.iterdir()} == {"lock", "logs", "other.json"}


def test_clean_waits_for_a_run(step: ToyStep) -> None:
    run_step(step, run())
    said = Said()
    cleaning = threading.Thread(target=clean_step, args=(step, run(said), False))
    with hold(step.work / "lock") as holder:
        cleaning.start()
        while not said.lines:
            time.sleep(0.01)
        assert step.place.output.is_dir()
        holder.kill()
        cleaning.join()
    assert not step.work.exists()


def test_work_folder_that_is_a_link_elsewhere(step: ToyStep, tmp_path: Path) -> None:
    run_step(step, run())
    (tmp_path / "precious").mkdir()
    (step.place.output / "text").unlink()
    step.place.output.rmdir()
    step.place.output.symlink_to(tmp_path / "precious")
    clean_step(step, run(), dry=False)
    assert (tmp_path / "precious").is_dir()


@settings(max_examples=50)
@given(json_values, json_values)
def test_key_is_of_the_inputs(one: object, other: object) -> None:
    step = ToyStep(Path("/work"), keep_failed=True, source=Path("/source"))
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (key_of({"value": one}, step) == key_of({"value": other}, step)) == same


def test_key_is_of_step_and_version() -> None:
    step = ToyStep(Path("/work"), keep_failed=True, source=Path("/source"))

    class Other(ToyStep):
        name = "other"

    class Newer(ToyStep):
        version = 2

    keys = {key_of({}, kind(step.work, True, step.source)) for kind in (ToyStep, Other, Newer)}
    assert len(keys) == 3
    assert key_of({}, step) == key_of({}, replace(step, keep_failed=False, work=Path("/elsewhere")))


def killed(tmp_path: Path, event: int, *arguments: str) -> bool:
    """Run the toy in another process that is killed at this change of the file system, or ends before."""
    argv = [sys.executable, "-m", "tests.toy", str(tmp_path / "source"), str(tmp_path), str(event), *arguments]
    return subprocess.run(argv, cwd=Path(__file__).parents[1], check=False).returncode != 0


def test_killed_at_every_change(tmp_path: Path) -> None:
    """Built from A; killed while B is built, at each change of the file system in turn; then A again, or B."""
    source = tmp_path / "source"
    step = ToyStep(tmp_path / "work", keep_failed=True, source=source, shelf=tmp_path / "shelf")
    for event in range(1, 100):
        source.write_text("alpha")
        run_step(step, run())
        source.write_text("beta")
        was_killed = killed(tmp_path, event)
        source.write_text(word := ("alpha", "beta")[event % 2])
        current = is_current(step)
        assert not current or text(step) == word.upper()
        run_step(step, run())
        assert text(step) == word.upper()
        assert step.place.digest_text() == run().driver.call("digest", root=str(step.place.output))["digest"]
        assert (tmp_path / f"shelf/{word}.txt").read_text() == word.upper()
        if not was_killed:
            break
    assert event > 10


def test_clean_killed_at_every_change(tmp_path: Path) -> None:
    """What is half removed is not taken for finished, and the next clean removes the rest, outside as well."""
    (tmp_path / "source").write_text("alpha")
    step = ToyStep(tmp_path / "work", keep_failed=True, source=tmp_path / "source", shelf=tmp_path / "shelf")
    for event in range(1, 100):
        run_step(step, run())
        was_killed = killed(tmp_path, event, "clean")
        assert not is_current(step) or text(step) == "ALPHA"
        clean_step(step, run(), dry=False)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["shelf", "source"]
        assert not list((tmp_path / "shelf").iterdir())
        if not was_killed:
            break
    assert event > 5


def test_a_file_system_is_synced_by_any_of_its_folders(tmp_path: Path) -> None:
    receipts.sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        receipts.sync_file_system(tmp_path / "absent")
