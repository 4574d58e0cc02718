"""quern.worker.host: the host side, which builds may write to between two runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.worker import WorkerError
from quern.worker.host import _options, _settle_cache
from quern.worker.installation import Installation
from quern.worker.settings import adopt
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


def test_options_that_this_emerge_has(tmp_path: Path) -> None:
    """With less than 18 GB free it would build one package at a time; emerge of before 2024 knows no such limit."""
    emerge = Installation(tmp_path / "emerge", tmp_path / "python", tmp_path / "portage", tmp_path)
    write(tmp_path, {"_emerge/main.py": 'options = {"--jobs": {}, "--jobs-tmpdir-require-free-gb": {}}\n'})
    assert _options(emerge) == ["--jobs-tmpdir-require-free-gb=0"]
    write(tmp_path, {"_emerge/main.py": 'options = {"--jobs": {}}\n'})
    assert _options(emerge) == []


def test_the_host_side_is_told_through_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"host/etc/portage/old": "", "precious": ""})
    told = tmp_path / "host/etc/portage"
    (told / "make.conf").symlink_to(tmp_path / "precious")
    monkeypatch.setenv("PORTAGE_OVERRIDE_EPREFIX", str(tmp_path / "host"))
    adopt('PKGDIR="/w"\n')
    assert (told / "make.conf").read_text() == 'PKGDIR="/w"\n'
    assert (tmp_path / "precious").read_text() == ""


def test_the_settings_of_this_machine_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PORTAGE_OVERRIDE_EPREFIX", raising=False)
    with pytest.raises(WorkerError, match="in a container only"):
        adopt('PKGDIR="/w"\n')
