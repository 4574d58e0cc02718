"""What tests share: made by the first worker that asks, and kept for the others."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.building import linked_store, once
from tests.conftest import Stock
from tests.projects import write


def test_the_first_makes_it_and_all_have_it(tmp_path: Path) -> None:
    """However many ask at the same time."""
    calls: list[int] = []

    def make() -> str:
        calls.append(1)
        return f"made {len(calls)}"

    with ThreadPoolExecutor(8) as pool:
        assert {future.result() for future in [pool.submit(once, tmp_path / "x", make) for _ in range(8)]} == {"made 1"}
    assert calls == [1]


def test_after_a_failure_the_next_tries_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "x", lambda: str(1 // 0))
    assert once(tmp_path / "x", lambda: "made") == "made"


def test_a_store_without_some_packages(tmp_path: Path) -> None:
    """Nor its lock, which would lock both."""
    write(tmp_path / "store", {"a/one-1.gpkg.tar": "1", "a/two-1.gpkg.tar": "2", ".lock": ""})
    target = linked_store(tmp_path / "store", tmp_path / "own", without="one-*")
    assert (os.listdir(target), os.listdir(target / "a")) == (["a"], ["two-1.gpkg.tar"])
    assert (target / "a/two-1.gpkg.tar").samefile(tmp_path / "store/a/two-1.gpkg.tar")


@pytest.mark.emerge
def test_each_lab_has_files_of_its_own(tmp_path: Path, stock: Stock) -> None:
    """So that a test may damage them."""
    stock(tmp_path / "one")
    stock(tmp_path / "two", without="other-*")
    names = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "one").glob("lab/*.gpkg.tar")}
    assert names == {"base-1", "headers-1", "leaf-1", "other-1", "top-1"}
    for path in (tmp_path / "two").glob("lab/*.gpkg.tar"):
        assert path.stat().st_nlink == 1
        assert path.read_bytes() == (tmp_path / "one/lab" / path.name).read_bytes()
    assert list((tmp_path / "two").glob("lab/other-*")) == []
