"""The packages of several images, built at the same time by one doit."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.building import CHECKOUT, Project
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import TREE, ebuild
from tests.test_interrupts import interrupt

pytestmark = pytest.mark.emerge

CONFIG = "[portage]\nrepositories = ./tree\n[postbuild]\nengines = none\n[emerge]\njobs = 2\n"
BASE = 'DEPEND="lab/base"\nRDEPEND="lab/base"'
WAIT = """
	local waited=0
	until [[ -e {go} ]]; do
		[[ $((waited++)) -lt 600 ]] || die "not built at the same time"
		sleep 0.1
	done
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a repository and no image."""
    tool("scanelf", "pax-utils")
    files = {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
    files |= {f"tree/{name}": text for name, text in TREE.items()} | {"tree/profiles/image/packages": ""}
    return write(tmp_path, files)


def images(folder: Path, packages: Mapping[str, str], **ebuilds: str) -> Project:
    """Give the project images, each with the packages that its line names; `ebuilds` are the repository's."""
    files = {f"tree/lab/{name}/{name}-1.ebuild": text for name, text in ebuilds.items()}
    for name, line in packages.items():
        files[f"profiles/{name}/quern.conf"] = CONFIG
        files[f"profiles/{name}/parent"] = "lab:image\n"
        files[f"profiles/{name}/packages"] = "".join(f"lab/{word}\n" for word in line.split())
    write(folder, files)
    return Project(folder, {})


def begun(output: str) -> list[str]:
    """The packages whose builds were begun, sorted."""
    return sorted(re.findall(r">>> Emerging \(\d+ of \d+\) lab/(\w+)-1::", output))


def test_what_images_share_is_built_once_and_the_rest_at_once(folder: Path) -> None:
    """Each image's own package goes on only when both have been begun."""
    go, own = folder / "build/distfiles/go", [folder / f"build/{name}/logs/packages.log" for name in ("one", "two")]
    waiting = ebuild(BASE, body=WAIT.format(go=go))
    project = images(folder, {"one": "one", "two": "two"}, base=ebuild(), one=waiting, two=waiting)
    with ThreadPoolExecutor() as pool:
        ran = pool.submit(project.doit, "packages:one", "packages:two")
        while not ran.done():
            if all(log.exists() and f"lab/{log.parent.parent.name}-1::lab" in log.read_text() for log in own):
                go.touch()
                break
            time.sleep(0.1)
        output = ran.result()
    assert begun(output) == ["base", "one", "two"]
    built = re.findall(r" packages:(?:one|two) is finished: 2 packages, (\d) built", output)
    assert sorted(built) == ["1", "2"]  # what the other has built is not counted
    assert "Waiting for" not in output
    assert len(re.findall(r"Built [12] packages? in [\d.]+ s", output)) == 2
    assert "Built 1 package in " in output
    assert ", 1 built by another run or image\n" in output
    assert output.index("portage:two is finished") < output.index(">>> Emerging")
    assert project.doit("packages:one", "packages:two").count("-- packages:") == 2


def test_a_failure_is_that_of_the_images_that_have_it(folder: Path) -> None:
    """It is tried once; an image without it is built, and doit comes to its task if told to go on."""
    broken = ebuild(body='die "not today"')
    packages = {"one": "broken", "two": "broken well", "three": "well"}
    project = images(folder, packages, broken=broken, well=ebuild())
    output = project.doit("--continue", "packages:one", "packages:two", "packages:three", status=1)
    assert begun(output) == ["broken", "well"]
    assert output.count("lab/broken-1 failed in its install phase\n  not today") == 2
    assert re.search(r"\nIt was built for the image (one|two), which has it too: doit shell:\1\n", output)
    assert re.search(r"packages:three is finished: 1 package, [01] built", output)
    assert "Traceback" not in output
    write(folder, {"tree/lab/broken/broken-1.ebuild": ebuild()})
    assert begun(project.doit("packages:one", "packages:two", "packages:three")) == ["broken"]


def test_an_image_that_cannot_be_planned_stops_no_other(folder: Path) -> None:
    project = images(folder, {"one": "one", "two": "absent"}, one=ebuild())
    output = project.doit("packages:one", "packages:two", status=1)
    assert "packages:one is finished: 1 package, 1 built" in output
    assert "lab/absent" in output


def test_ctrl_c_ends_the_builds_of_all(folder: Path) -> None:
    slow = ebuild("src_compile() {\n\tsleep 3210 &\n\twhile :; do sleep 0.1; done\n}\n")
    images(folder, {"one": "one", "two": "two"}, one=slow, two=slow)
    status, output = interrupt(folder, "image:one", "image:two")
    assert status == 128 + signal.SIGINT
    assert output.splitlines()[-1] == "packages:one interrupted; run it again to go on"
    assert "Traceback" not in output
