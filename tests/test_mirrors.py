from __future__ import annotations

from pathlib import Path

import pytest

from quern.portage.mirrors import apt_mirrors, mirrors_text
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


def test_configured_mirrors_replace_those_of_the_same_name() -> None:
    detected = {"debian": ["http://a/debian"], "debian-security": ["http://a/debian-security"]}
    configured = [("debian", "http://b/debian"), ("gnu", "http://c/gnu"), ("debian", "http://d/debian")]
    assert mirrors_text(configured, detected) == (
        "debian http://b/debian http://d/debian\ndebian-security http://a/debian-security\ngnu http://c/gnu\n"
    )
    assert mirrors_text([], {}) == ""
