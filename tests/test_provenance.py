from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.portage import provenance
from tests.test_plan import entry, plan


def test_only_packages_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    uris = {"a.tar.xz": ["https://a.example/a.tar.xz", "mirror://b/a.tar.xz"]}
    provenance.write(
        path,
        plan(
            entry("lib/b-1", sources=uris), entry("dev/tool-1", on_host=True), entry("app/c-2", run=[0, 1], wanted=True)
        ),
    )
    assert provenance.read(path) == {
        "lib/b-1": provenance.Provenance(uris, [], False),
        "app/c-2": provenance.Provenance({}, ["lib/b-1"], True),
    }


def test_of_an_earlier_version(tmp_path: Path) -> None:
    path = tmp_path / "provenance.json"
    path.write_text('{"lib/b-1": {"needs": [], "sources": {}}}')
    assert provenance.read(path) == {"lib/b-1": provenance.Provenance({}, [], None)}


@pytest.mark.parametrize("text", ["", "[]", '{"lib/b-1": {"needs": []}}', '{"lib/b-1": 1}'])
def test_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "provenance.json"
    path.write_text(text)
    with pytest.raises(BuildError, match=r"provenance\.json was damaged; remove .*, and it is made anew"):
        provenance.read(path)
