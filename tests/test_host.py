"""quern.worker.host: the host side, which builds may write to between two runs."""

from __future__ import annotations

import os
from pathlib import Path

from quern.worker.host import _settle_cache
from tests.projects import write


def test_the_cache_of_metadata_gets_one_time_but_through_no_link(tmp_path: Path) -> None:
    write(tmp_path, {"cache/a/b-1": "", "precious": ""})
    _settle_cache(os.fspath(tmp_path / "cache"))
    assert (tmp_path / "cache/a/b-1").stat().st_mtime == 1
    for name, target in (("link", tmp_path / "precious"), ("nowhere", tmp_path / "absent")):
        (tmp_path / "cache/a" / name).symlink_to(target)
    before = (tmp_path / "precious").stat().st_mtime_ns
    _settle_cache(os.fspath(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []  # no cache of Portage's any more
    assert (tmp_path / "precious").stat().st_mtime_ns == before
