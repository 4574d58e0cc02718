"""What a profile's bashrc sources: a change of it builds anew what was built with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.steps.base import is_current, run_step
from quern.steps.chain import steps_of
from quern.worker.sourced import sourced
from tests.conftest import tool
from tests.projects import Said, overlay_image, run, write
from tests.test_emerging import TREE, Lab, ebuild

BASHRC = 'source "${BASH_SOURCE%/*}/lib.sh"\nsource "${BASH_SOURCE%/*}/deep/more.sh"\n'
HOOK = 'post_src_install() {{ echo {} "$(more)" >> "${{ED}}/usr/share/lab/${{PN}}"; }}\n'
SOURCED = {
    "profile.bashrc": BASHRC,
    "lib.sh": HOOK.format("one"),
    "deep/more.sh": "more() { echo first; }\n",
}


def test_names(tmp_path: Path) -> None:
    profile = write(tmp_path, {**SOURCED, "README": "", "packages": "", "package.use/file": "", "use.mask": ""})
    write(profile, {"child/parent": "..\n", "family/child/parent": "../..\n", "quern.conf": "", "packages.lock": ""})
    assert sourced(str(profile)) == ["README", "deep", "family", "lib.sh"]
    (profile / "profile.bashrc").unlink()
    assert sourced(str(profile)) == []


@pytest.mark.emerge
def test_of_a_repository_s_profile(tmp_path: Path) -> None:
    tool("scanelf", "pax-utils")
    lab = Lab(tmp_path)
    write(lab.tree, {"lab/top/top-1.ebuild": ebuild('DEPEND="lab/base"\nRDEPEND="lab/base"')})
    profile = write(lab.tree / "profiles/image", SOURCED)
    lab.build()
    assert lab.installed()["top"] == "top-1\none first"
    assert lab.build() == []

    write(profile, {"lib.sh": HOOK.format("two")})
    lab.build()
    assert lab.emerged() == ["lab/base-1", "lab/top-1"]
    assert lab.installed()["top"] == "top-1\ntwo first"
    assert set(lab.ledger().values()) == {"built: bashrc-sources changed"}

    write(profile, {"deep/more.sh": "more() { echo second; }\n"})
    lab.build()
    assert lab.installed()["top"] == "top-1\ntwo second"

    write(profile, {"packages": "lab/top\n# no more than that\n", "child/make.defaults": ""})
    lab.build()
    assert lab.emerged() == []


@pytest.mark.emerge
def test_of_a_project_s_own_profile(tmp_path: Path) -> None:
    tool("scanelf", "pax-utils")
    write(tmp_path / "tree", TREE)
    own = {"quern.conf": "[portage]\nrepositories = ./tree\n", "packages": "lab/other\n", "parent": "lab:image\n"}
    folder = write(tmp_path / "profiles/one", {**own, **SOURCED, "../repo_name": "mine\n", "tests/one": "#!/bin/sh\n"})
    write(tmp_path / "tree", {"profiles/image/packages": "", "lab/other/other-1.ebuild": ebuild()})
    image = overlay_image(folder, tmp_path / "build/one")
    portage, packages, root = steps_of(image)[:3]

    def built() -> str:
        for step in (portage, packages, root):
            run_step(step, run(Said()))
        return (tmp_path / "build/one/root/image/usr/share/lab/other").read_text()

    assert built() == "other-1\none first\n"
    write(folder, {"tests/one": "#!/bin/sh\ntrue\n", "quern.conf": own["quern.conf"] + "# more\n"})
    assert is_current(portage)
    write(folder, {"deep/more.sh": "more() { echo second; }\n"})
    assert not is_current(portage)
    assert built() == "other-1\none second\n"
