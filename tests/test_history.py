from __future__ import annotations

from pathlib import Path

import pytest

from quern.steps import history
from quern.steps.history import History


def test_what_was_noted(tmp_path: Path) -> None:
    path = tmp_path / "packages.times"
    assert history.read(path) == History()
    history.plan(path, ["lab/a", "lab/b"])
    assert history.read(path) == History(0.0, {}, ("lab/a", "lab/b"))
    history.note(path, 9.5, {"lab/a": 4.0, "lab/b": 5.0})
    history.plan(path, ["lab/b"])
    history.note(path, 6.0, {"lab/b": 5.5})
    assert history.read(path) == History(6.0, {"lab/a": 4.0, "lab/b": 5.5}, ("lab/b",))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"seconds": 1, "packages": {"a": "x"}, "planned": []}', "null"])
def test_damaged_one_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    assert history.read(tmp_path / "x") == History()


def test_no_room_for_it_is_no_error(tmp_path: Path) -> None:
    history.note(tmp_path / "absent/x", 1.0, {})
    assert not (tmp_path / "absent").exists()
