"""Files with holes have the bytes that were written."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.worker import holes


@pytest.mark.parametrize(
    "pieces",
    [
        [b"x", bytes(1 << 20), bytes(1 << 20)],
        [bytes(1 << 20), b"x" + bytes(4095), bytes(4096)],
        [bytes(4095), bytes((1 << 20) + 1), b"", bytes(1)],
        [],
    ],
)
def test_the_bytes_are_the_same(tmp_path: Path, pieces: list[bytes]) -> None:
    with (tmp_path / "x").open("wb") as file:
        for piece in pieces:
            holes.write(file, piece)
        holes.finish(file)
    assert (tmp_path / "x").read_bytes() == b"".join(pieces)


def test_zeros_take_no_room(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        for _ in range(64):
            holes.write(file, bytes(1 << 20))
        holes.finish(file)
    assert (tmp_path / "x").stat().st_size == 64 << 20
    assert (tmp_path / "x").stat().st_blocks * 512 < 1 << 20
