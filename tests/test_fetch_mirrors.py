from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from quern.fetching.manifest import Expected
from quern.fetching.mirrors import apt_mirrors, configured, layouts, path_in_mirror
from tests.projects import write

# what apt answers on a machine with mirrors, a proxying cache, a source of someone else's, and a CD
SITES = """\
http://one.example.org/debian
http://one.example.org/debian
https://two.example.org/pool/debian/
http://one.example.org/debian-security
https://apt.example.com/linux
cdrom://[Debian]/debian
file:/srv/debian
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt-get, first on PATH, that prints the file `answer` and keeps its command line in `called`."""
    script = f'#!/bin/sh\nprintf "%s\\n" "$@" "$LC_ALL" > {tmp_path}/called\ncat {tmp_path}/answer\necho warning >&2\n'
    write(tmp_path, {"apt-get": script, "answer": SITES})
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_mirrors_of_apt(apt: Path) -> None:
    assert apt_mirrors() == {
        "debian": ["http://one.example.org/debian", "https://two.example.org/pool/debian"],
        "debian-security": ["http://one.example.org/debian-security"],
    }
    assert (apt / "called").read_text().split("\n")[:4] == ["indextargets", "--format", "$(SITE)", "C"]


def test_apt_without_sources(apt: Path) -> None:
    (apt / "answer").write_text("")
    assert apt_mirrors() == {}


def test_apt_that_fails(apt: Path) -> None:
    (apt / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    assert apt_mirrors() == {}


def test_no_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apt_mirrors() == {}


def test_configured_mirrors_replace_those_of_the_same_name(apt: Path) -> None:
    pairs = [("debian", "http://b/debian"), ("gnu", "http://c/gnu"), ("debian", "http://d/debian")]
    chosen = {"debian": ["http://b/debian", "http://d/debian"], "gnu": ["http://c/gnu"]}
    assert configured(pairs, {"debian", "gnu"}) == chosen
    assert not (apt / "called").exists()  # it takes a third of a second
    assert configured(pairs, {"debian-security"}) == {
        **chosen,
        "debian-security": ["http://one.example.org/debian-security"],
    }


FILE = Expected(1, {"BLAKE2B": "0123456789abcdef" * 8, "SHA512": "fedcba9876543210" * 8})


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("0=flat", "a%20b.tar"),
        ("0=filename-hash BLAKE2B 8\n1=flat", "86/a%20b.tar"),
        ("0=filename-hash SHA512 8:12", "c7/6d5/a%20b.tar"),
        ("0=content-hash SHA512 8:8", "fe/dc/" + "fedcba9876543210" * 8),
        (
            "0=content-hash WHIRLPOOL 8\n1=filename-hash BLAKE2B 7\n2=new\n3=filename-hash BLAKE2B 4",
            "8/a%20b.tar",
        ),
        ("0=content-hash MD5 8", "a%20b.tar"),
        ("1=filename-hash BLAKE2B 8", "a%20b.tar"),
        ("0=", "a%20b.tar"),
        ("no layout", "a%20b.tar"),
    ],
)
def test_layouts_as_portage_reads_them(tmp_path: Path, layout: str, expected: str) -> None:
    """GLEP 75; Portage's own code is asked as well."""
    fetch = pytest.importorskip("portage.package.ebuild.fetch", reason="Portage is not installed")
    text = f"[structure]\n{layout}\n"
    assert path_in_mirror("a b.tar", FILE, layouts(text)) == expected
    if layout in ("no layout", "0="):  # Portage gives up
        return
    write(tmp_path, {"layout.conf": text})
    theirs = fetch.MirrorLayoutConfig()
    theirs.read_from_file(str(tmp_path / "layout.conf"))
    name = fetch.DistfileName("a b.tar", digests=dict(FILE.digests))
    assert quote(theirs.get_best_supported_layout(filename=name).get_path(name)) == expected


def test_what_is_no_layout() -> None:
    for text in ("", "<html>", "[other]\n0=flat\n", "0=flat"):
        assert layouts(text) == []
