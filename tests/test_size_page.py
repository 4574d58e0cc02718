"""The page of size:NAME: whole, safe with names that are no text, and in need of nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.questions.measured import File, Measured, Volume, measure
from quern.questions.size_page import TEMPLATE, text
from tests.projects import run
from tests.test_measured import MARKUP, NEWLINE, finished


class Page(HTMLParser):
    """What a browser sees: the tags with their attributes, and the text in each kind of tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open, data))

    def cells(self) -> list[str]:
        return [text for tag, text in self.texts if tag in ("td", "span")]

    def blocks(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag and text.strip()]


def names_of(page: Page) -> list[str]:
    """The kinds of tags, in order, but for rows of tables."""
    return [tag for tag, _ in page.tags if tag not in ("tr", "td", "span")]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """An image with names that nobody expects."""
    return measure(finished(tmp_path_factory.mktemp("page")), run())


def test_everything_is_in_it(measured: Measured) -> None:
    page = Page(text("one", measured))
    data = json.loads(page.blocks("script")[0])
    assert data["packages"][:1] == ["app-misc/tool-1"]
    assert ["/usr/bin/again", 1000, 0] in data["files"]
    assert ["/usr/lib/caf\\xe9", 8, 0] in data["files"]
    assert sum(size for _, size, _ in data["files"]) == measured.total.size
    assert all(size for _, size, _ in data["files"])
    assert "/nothing/here (strip.paths)" in page.cells()
    assert "no package's" in page.cells()
    assert any(re.fullmatch(r"Removed by \[strip\]: \S+ B in 5 files", title) for title in page.blocks("h2"))


def test_names_are_text(measured: Measured) -> None:
    page = Page(text("one", measured))
    markup = MARKUP.replace(b"/", b"|").decode()
    assert f"/usr/lib/{markup}" in page.cells()
    assert f"/usr/lib/{markup}" in [path for path, _, _ in json.loads(page.blocks("script")[0])["files"]]
    assert f"/usr/lib/{NEWLINE.decode()}".replace("\n", "\\n") in page.cells()


@given(st.lists(st.text(min_size=1).map(lambda name: name.replace("/", "|").encode(errors="replace")), min_size=1))
def test_no_name_is_markup(names: list[bytes]) -> None:
    """Whatever files are called, even like our own placeholders, the page has the same tags."""
    names += [b"@data@", b"</script><script>alert(1)</script>", b"<!--", b"]]>"]

    def page(names: list[bytes]) -> Page:
        files = [File(b"/" + name, 1, "") for name in names]
        nothing = {"paths": 0, "files": 0, "bytes": 0}
        rules: list[Mapping[str, Any]] = [{"rule": f"/{name!r}<b>", **nothing} for name in names]
        return Page(text("one", Measured(files, {"": Volume(1, 1)}, rules, {"files": 0, "bytes": 0}, None, True)))

    hostile = page(names)
    assert names_of(hostile) == names_of(page([b"x"]))
    assert len(json.loads(hostile.blocks("script")[0])["files"]) == len(names)


def test_nothing_is_loaded_and_only_our_script_runs(measured: Measured) -> None:
    page = Page(text("one", measured))
    assert not [attributes for _, attributes in page.tags if {"src", "href", "style", "onclick"} & attributes.keys()]
    (policy,) = (attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    for directive, content in (("script-src", page.blocks("script")[1]), ("style-src", page.blocks("style")[0])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    other_ways = r"https?:|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b"
    assert not re.search(other_ways, TEMPLATE.read_text())


def test_the_script_knows_the_page(measured: Measured) -> None:
    """What it looks for by name is there."""
    page = Page(text("one", measured))
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert set(re.findall(r'getElementById\("(\w+)"\)', page.blocks("script")[1])) <= ids
    assert {attributes["name"] for tag, attributes in page.tags if tag == "input"} == {"by"}


def test_an_empty_image() -> None:
    page = Page(text("one", Measured([], {}, [], {"files": 0, "bytes": 0}, None, None)))
    assert page.blocks("title") == ["one: 0 B in 0 files"]
    assert "cannot be told" in "".join(page.blocks("p"))
