"""Source files that do not match a Manifest, in a folder that may be the user's own."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.errors import BuildError
from quern.portage import emerge
from quern.portage.distfiles import Renamed, look, put_back
from quern.steps.fetching import fetch
from tests.conftest import tool
from tests.projects import source_build, write
from tests.test_emerging import Lab, ebuild
from tests.test_fetch import serving

NAME, FAILED = "x.tar", "x.tar._checksum_failure_.abc"


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_renamed_file_gets_its_name_back(tmp_path: Path) -> None:
    write(tmp_path, {NAME: "mine", "other": "other"})
    before = look(tmp_path)
    (tmp_path / NAME).rename(tmp_path / FAILED)
    assert put_back(tmp_path, before) == [Renamed(tmp_path / NAME, tmp_path / FAILED, True)]
    assert content(tmp_path) == {NAME: "mine", "other": "other"}


def test_what_was_fetched_in_its_place_stays(tmp_path: Path) -> None:
    write(tmp_path, {NAME: "mine"})
    before = look(tmp_path)
    (tmp_path / NAME).rename(tmp_path / FAILED)
    write(tmp_path, {NAME: "fetched"})
    (renamed,) = put_back(tmp_path, before)
    assert not renamed.is_back
    assert str(renamed).endswith(f"another was fetched, and that one is now {tmp_path / FAILED}")
    assert content(tmp_path) == {NAME: "fetched", FAILED: "mine"}


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError

    write(tmp_path, {NAME: "mine"})
    before = look(tmp_path)
    (tmp_path / NAME).rename(tmp_path / FAILED)
    monkeypatch.setattr("os.link", refuse)
    assert [renamed.is_back for renamed in put_back(tmp_path, before)] == [True]
    assert content(tmp_path) == {NAME: "mine"}


def test_a_file_that_was_there_twice(tmp_path: Path) -> None:
    """Portage keeps what has failed before once: the file itself is removed."""
    write(tmp_path, {NAME: "mine", FAILED: "mine"})
    before = look(tmp_path)
    (tmp_path / NAME).unlink()
    assert [renamed.is_back for renamed in put_back(tmp_path, before)] == [True]
    assert content(tmp_path) == {NAME: "mine"}


def test_what_failed_long_ago_or_was_just_fetched_is_left(tmp_path: Path) -> None:
    write(tmp_path, {NAME: "good", FAILED: "evil"})
    before = look(tmp_path)
    write(tmp_path, {f"y.{FAILED}": "fetched"})
    assert put_back(tmp_path, before) == []
    assert content(tmp_path) == {NAME: "good", FAILED: "evil", f"y.{FAILED}": "fetched"}


class Sources:
    """An image of one package with one source file, x.txt; `url` is where it can be fetched."""

    def __init__(self, folder: Path, url: str, described: str) -> None:
        self.lab = Lab(folder)
        self.file = folder / "distfiles/x.txt"
        digest = hashlib.sha512(described.encode()).hexdigest()
        write(self.lab.tree, {
            "profiles/image/packages": "lab/leaf\n",
            "lab/leaf/leaf-1.ebuild": ebuild(f'SRC_URI="{url}/x.txt"'),
            "lab/leaf/Manifest": f"DIST x.txt {len(described)} SHA512 {digest}\n",
        })  # fmt: skip
        write(
            folder,
            {
                "lab.conf": (folder / "lab.conf")
                .read_text()
                .replace("[build]", f"distfiles = {folder}/distfiles\n[build]")
            },
        )

    @property
    def said(self) -> list[str]:
        return [line for line in self.lab.said if line.startswith("Warning: /")]


@pytest.mark.emerge
def test_a_good_file_and_a_wrong_manifest(tmp_path: Path) -> None:
    """It is left as it is, and once the Manifest is right, nothing has to be fetched."""
    tool("scanelf", "pax-utils")
    sources = Sources(tmp_path, "http://127.0.0.1:9", described="evil")
    write(tmp_path, {"distfiles/x.txt": "good"})
    with pytest.raises(BuildError) as error:
        sources.lab.build()
    assert str(error.value).startswith("x.txt of lab/leaf-1 is not the file that its Manifest describes\n")
    assert f"  the file that was there is left as it was: {sources.file}" in str(error.value).splitlines()
    assert "_checksum_failure_" not in str(error.value)
    assert sources.said == [f"Warning: {sources.file} is not what its Manifest describes; it is left as it was"]
    assert [path.read_text() for path in sources.file.parent.glob("x.txt*")] == ["good"]

    sources = Sources(tmp_path, "http://127.0.0.1:9", described="good")
    sources.lab.build()
    assert sources.said == []


@pytest.mark.emerge
def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    """Portage gives no reason where the size differs, but fetches; that this fails is not the cause."""
    tool("scanelf", "pax-utils")
    sources = Sources(tmp_path, "http://127.0.0.1:9", described="complete")
    write(tmp_path, {"distfiles/x.txt": "comp"})
    with pytest.raises(BuildError) as error:
        sources.lab.build()
    first, second, kept, tried = str(error.value).splitlines()[:4]
    assert first == "x.txt of lab/leaf-1 is not the file that its Manifest describes"
    assert second == f"  {sources.file} has 4 bytes; its Manifest says 8"
    assert kept == f"  the file that was there is left as it was: {sources.file}"
    assert tried.startswith("  tried http://127.0.0.1:9/x.txt: ")
    assert sources.file.read_text() == "comp"


@pytest.mark.emerge
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Portage would remove a link to nothing, and blame the network for the others."""
    sources = Sources(tmp_path, "http://127.0.0.1:9", described="x")
    build = source_build(sources.lab.image)
    packages = build.plan(emerge.source_options(1, binhost=False), ["lab/leaf"]).packages
    file, end = sources.file, "; remove it, or put the file there"
    made = {"a pipe": os.mkfifo, "a folder": os.mkdir, "a link to absent, which is not there": _link}
    for kind, make in made.items():
        make(file)
        with pytest.raises(BuildError) as error:
            fetch(build, [], [], packages)
        assert str(error.value) == f"{file}: expected a source file, got {kind}{end}"
        assert os.path.lexists(file)
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def _link(path: Path) -> None:
    path.symlink_to("absent")


@pytest.mark.emerge
def test_another_file_and_a_right_manifest(tmp_path: Path) -> None:
    """The right one is fetched; the user's is still there, and he is told."""
    tool("scanelf", "pax-utils")
    write(tmp_path, {"served/x.txt": "good", "distfiles/x.txt": "mine"})
    with serving(tmp_path / "served") as (url, _):
        sources = Sources(tmp_path, url, described="good")
        sources.lab.build()
    (mine,) = sources.file.parent.glob("x.txt._checksum_failure_.*")
    assert (sources.file.read_text(), mine.read_text()) == ("good", "mine")
    assert sources.said == [
        f"Warning: {sources.file} is not what its Manifest describes; another was fetched, and that one is now {mine}"
    ]


@pytest.mark.emerge
def test_sources_that_a_build_would_not_see(tmp_path: Path) -> None:
    """Here the link leads to the file; in a build /tmp is empty, and the source would be said to be missing."""
    if reason := obstacle():
        pytest.skip(reason)
    tool("scanelf", "pax-utils")
    lab = Lab(tmp_path)
    text = ebuild('SRC_URI="http://nowhere.invalid/x.txt"', body='cat "${DISTDIR}/x.txt" >> "${ED}/usr/share/lab/base"')
    digest = hashlib.blake2b(b"source\n").hexdigest()
    write(lab.tree, {"lab/base/base-1.ebuild": text, "lab/base/Manifest": f"DIST x.txt 7 BLAKE2B {digest}\n"})
    write(tmp_path, {"elsewhere/x.txt": "source\n", "distfiles/y.txt": "source\n"})
    link = tmp_path / "distfiles/x.txt"
    link.symlink_to(tmp_path / "elsewhere/x.txt")
    with pytest.raises(BuildError, match=f"builds see nothing.*\n  {link} -> {tmp_path}/elsewhere/x.txt$"):
        lab.build()
    link.unlink()
    link.symlink_to("y.txt")
    lab.build()
    assert lab.installed()["base"] == "base-1\nsource"
