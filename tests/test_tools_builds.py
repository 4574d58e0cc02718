"""A build finds the tools of this machine that are declared for its package, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.errors import BuildError
from quern.portage.setup import STARTER
from quern.portage.tools import TOOLS
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import Lab, ebuild

pytestmark = pytest.mark.emerge

SHOW = 'special > "${ED}/usr/share/lab/special" || die'


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """An image with a program `special` on this machine, which is declared for lab/uses."""
    tool("scanelf", "pax-utils")
    folder = tmp_path / "bin"
    version(folder, "1")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    lab = Lab(tmp_path)
    write(lab.tree, {TOOLS: "special\tspecial-tools\tlab/uses\n"})
    return lab


def version(folder: Path, text: str, more: str = "") -> None:
    """Make `special` a program that prints its version."""
    write(folder, {"special": f"#!/bin/sh\necho version {text}\n{more}"})
    (folder / "special").chmod(0o755)


def test_another_version_of_a_tool(lab: Lab) -> None:
    """What may use it is built again, and what is built with that; the rest is not."""
    ebuilds = {"uses": ebuild(body=SHOW), "with": ebuild('DEPEND="lab/uses"'), "other": ebuild()}
    write(lab.tree, {"profiles/image/packages": "lab/uses\nlab/with\nlab/other\n"})
    write(lab.tree, {f"lab/{name}/{name}-1.ebuild": text for name, text in ebuilds.items()})
    lab.build()
    assert lab.installed()["special"] == "version 1"
    version(lab.folder / "bin", "two")
    lab.build()
    assert lab.installed()["special"] == "version two"
    assert lab.ledger() == {
        "lab/uses-1": "built: tool special changed",
        "lab/with-1": "built: dependency lab/uses (tool special changed)",
        "lab/other-1": "reused",
    }
    version(lab.folder / "bin", "two", "# built otherwise\n")
    assert lab.build() == ["packages"]
    if not obstacle():
        assert lab.emerged() == ["lab/uses-1"]  # it is the same as before


@pytest.mark.parametrize("call", ["special", "{folder}/bin/special"])
def test_a_tool_that_is_declared_for_others(lab: Lab, call: str) -> None:
    """It is not found, by its path neither; the message says what to write where."""
    if "/" in call and obstacle():
        pytest.skip(obstacle())
    text = ebuild(body=SHOW.replace("special", call.format(folder=lab.folder), 1))
    write(lab.tree, {"profiles/image/packages": "lab/other\n", "lab/other/other-1.ebuild": text})
    with pytest.raises(BuildError) as error:
        lab.build()
    assert "lab/other-1 failed in its install phase" in str(error.value)
    assert str(error.value).splitlines()[-2:] == [
        f"special is declared for lab/uses alone; a line in {lab.tree / TOOLS} gives it to lab/other:",
        "  special<TAB>special-tools<TAB>lab/other",
    ]
    write(lab.tree, {TOOLS: "special\tspecial-tools\tlab/other\n"})
    lab.build()
    assert lab.installed()["special"] == "version 1"


def test_a_list_of_one_s_own(lab: Lab) -> None:
    """A line that names no package is for all; then the list is all that there is, and nothing of the starter's."""
    write(lab.tree, {TOOLS: (STARTER / TOOLS).read_text() + "special\tspecial-tools\tthe lab\n"})
    write(lab.tree, {"profiles/image/packages": "lab/other\n", "lab/other/other-1.ebuild": ebuild(body=SHOW)})
    lab.build()
    assert lab.installed()["special"] == "version 1"
