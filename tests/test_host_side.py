"""What Portage's host side is told of a run: where its packages, sources, build folders and logs are."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.drivers.raw import RawDriver
from quern.steps.base import Run, run_step
from quern.steps.chain import steps_of
from tests.conftest import tool
from tests.projects import Said, image_of, write
from tests.test_emerging import TREE, ebuild

pytestmark = pytest.mark.emerge


def generator(word: str) -> str:
    return ebuild(body=f"printf '#!/bin/sh\\necho {word}\\n' > gen; dobin gen")


FILES = {
    "profiles/image/packages": "lab/thing\n",
    "lab/gen/gen-1.ebuild": generator("old"),
    "lab/thing/thing-1.ebuild": ebuild('BDEPEND="lab/gen"', 'gen > "${ED}/usr/share/lab/thing" || die'),
}
OF_THE_MACHINE = ("/var/cache/binpkgs", "/var/cache/distfiles", "/var/tmp/portage", "/var/log/portage", "/var/log")


def of_the_machine() -> dict[str, list[str]]:
    """The names in those folders of this machine that Portage would use by itself."""
    return {path: sorted(os.listdir(path)) for path in OF_THE_MACHINE if os.path.isdir(path)}


def built(folder: Path, confine: str, *names: str) -> list[str]:
    """Run the steps `names`; give the packages that were built, sorted."""
    said = Said()
    where = Run(RawDriver(confine=confine, say=said), said)
    image = image_of(folder / "lab.conf", folder / "work")
    for step in steps_of(image):
        if step.name in ("portage", *names):
            run_step(step, where)
    return sorted(match[1] for line in said.lines if (match := re.search(r">>> Emerging \(.*\) (\S+?)::", line)))


@pytest.mark.parametrize("confine", ["on", "off"])
def test_what_a_build_needs_to_run_is_built_for_it(tmp_path: Path, confine: str) -> None:
    """It is kept in the store for the next build, unless it has changed."""
    tool("scanelf", "pax-utils")
    if confine == "on" and obstacle():
        pytest.skip(obstacle())
    tree, before = write(tmp_path / "tree", {**TREE, **FILES}), of_the_machine()
    options = f"binpkg = {tmp_path}/store\n[build]\nprofile = lab:image\n"
    write(tmp_path, {"lab.conf": f"[portage]\nrepositories = ./tree\n{options}"})
    assert built(tmp_path, confine, "packages") == ["lab/gen-1", "lab/thing-1"]

    thing = tree / "lab/thing/thing-1.ebuild"
    thing.write_text(thing.read_text() + "# edited\n")
    assert built(tmp_path, confine, "packages") == ["lab/thing-1"]

    write(tree, {"lab/gen/gen-1.ebuild": generator("new")})
    assert built(tmp_path, confine, "packages", "root") == ["lab/gen-1", "lab/thing-1"]
    assert (tmp_path / "work/root/image/usr/share/lab/thing").read_text() == "new\n"
    assert of_the_machine() == before
