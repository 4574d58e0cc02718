"""Where a source can be had, and in what order: PMS 7.3.2, 7.3.6 and 8.2.10, and Portage's fetch.py."""

from __future__ import annotations

import pytest

from quern.fetching.mirrors import Mirrors
from quern.fetching.uris import Place, first_addresses, is_name, mirror_names, places, public, together

MIRRORS = Mirrors(
    known={"gnu": ["https://a/gnu/", "https://b/gnu"], "debian": ["https://a/debian"]},
    configured={"debian": ["http://mine/debian"], "local": ["http://local"]},
    gentoo=["http://g1", "http://g2/gentoo"],
)
LOCAL = ["http://local*"]
ALL = [*LOCAL, "http://g1*", "http://g2/gentoo*"]


def tried(uris: list[str], *restrict: str, mirrors: Mirrors = MIRRORS) -> list[str]:
    """The addresses; those of mirrors of all files with a star."""
    return [place.url + "*" * place.is_mirror for place in places(uris, restrict, mirrors).tried]


@pytest.mark.parametrize(
    ("uri", "restrict", "expected"),
    [
        ("http://up/x", "", [*ALL, "http://up/x"]),
        ("http://up/x", "mirror", [*LOCAL, "http://up/x"]),
        ("mirror+http://up/x", "mirror", [*ALL, "http://up/x"]),
        ("fetch+http://up/x", "mirror", [*LOCAL, "http://up/x"]),
        ("http://up/x", "fetch", LOCAL),
        ("fetch+http://up/x", "fetch", [*LOCAL, "http://up/x"]),
        ("mirror+http://up/x", "fetch", [*ALL, "http://up/x"]),
        ("http://up/x", "primaryuri", ["http://up/x", *ALL]),
        ("mirror://gnu/a/x", "", [*ALL, "https://a/gnu/a/x", "https://b/gnu/a/x"]),
        ("mirror://gnu/a/x", "primaryuri", ["https://a/gnu/a/x", "https://b/gnu/a/x", *ALL]),
        ("mirror://gnu/a/x", "fetch", LOCAL),
        ("fetch+mirror://gnu/a/x", "fetch", [*LOCAL, "https://a/gnu/a/x", "https://b/gnu/a/x"]),
        ("mirror://debian/x", "", [*ALL, "http://mine/debian/x", "https://a/debian/x"]),
        ("mirror://debian/x", "fetch", [*LOCAL, "http://mine/debian/x"]),
        ("mirror://debian/x", "primaryuri", ["https://a/debian/x", *ALL, "http://mine/debian/x"]),
    ],
)
def test_one_uri(uri: str, restrict: str, expected: list[str]) -> None:
    assert tried([uri], *restrict.split()) == expected


def test_several_uris() -> None:
    """Mirrors before upstream; nothing twice."""
    uris = ["http://up/x", "mirror://gnu/x", "http://other/x", "https://a/gnu/x"]
    expected = ["https://a/gnu/x", "https://b/gnu/x", "http://up/x", "http://other/x"]
    assert tried(uris, mirrors=MIRRORS._replace(configured={}, gentoo=())) == expected


@pytest.mark.parametrize(
    ("uri", "problem"),
    [
        ("mirror://nosuch/x", "SRC_URI has mirror://nosuch/, and no repository knows a mirror of this name"),
        ("mirror://x", "SRC_URI has mirror://x: expected mirror://NAME/PATH"),
        ("mirror:///x", "SRC_URI has mirror:///x: expected mirror://NAME/PATH"),
    ],
)
def test_uris_that_lead_nowhere(uri: str, problem: str) -> None:
    found = places([uri], (), Mirrors())
    assert found.tried == ()
    assert found.problems[0].startswith(problem)
    assert found.unknown == (("nosuch",) if "nosuch" in uri else ())


def test_no_uri() -> None:
    assert places([], (), Mirrors()) == ((), (), ())


def test_a_file_of_two_packages() -> None:
    """One of which forbids what the other allows."""
    found = [places(["http://up/x"], ["fetch"], MIRRORS), places(["mirror://no/x", "http://up/x"], (), MIRRORS)]
    both = together(found)
    assert [place.url for place in both.tried] == ["http://local", "http://g1", "http://g2/gentoo", "http://up/x"]
    assert both.unknown == ("no",)


def test_offline() -> None:
    found = places(["http://up/x", "mirror://here/x"], (), Mirrors(known={"here": ["file:///srv"]}))
    assert found.offline().tried == (Place("file:///srv/x"),)


def test_addresses_for_others() -> None:
    """For bills of materials: no mirror of this machine's user."""
    uris = ["mirror+http://up/x", "mirror://gnu/x", "fetch+mirror://debian/x", "mirror://nosuch/x", "http://up/x"]
    expected = ["http://up/x", "https://a/gnu/x", "https://a/debian/x", "mirror://nosuch/x"]
    assert first_addresses(uris, MIRRORS.known) == expected


def test_names_of_mirrors() -> None:
    uris = ["mirror://a/x", "mirror+mirror://b/x", "http://c/x", "fetch+http://mirror.example/x"]
    assert mirror_names(uris) == {"a", "b"}


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".quern-fetched", "a/b", "..", ".x", "x.__download__", "a\nb", ""])
def test_names_that_are_none(name: str) -> None:
    assert not is_name(name)


def test_names() -> None:
    assert is_name("zlib_1.3.dfsg+really1.3.1.orig.tar.gz")
    assert is_name("a b.tar")


@pytest.mark.parametrize("url", ["http://host/a@b?c@d", "file:///a@b", "no url", "http://[::1/x"])
def test_nothing_is_taken_from_an_address_without_a_password(url: str) -> None:
    assert public(url) == url


@pytest.mark.parametrize("login", ["me@", "me:word@", "me:w@rd@", ":@"])
def test_passwords_are_taken_out(login: str) -> None:
    assert public(f"https://{login}host:1/a@b") == "https://host:1/a@b"
