"""Nothing is written into the installed Portage, not even where commands are not confined."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from quern.worker import bytecode
from tests.building import Project, python_for_everyone
from tests.conftest import needs_root
from tests.test_guards import project  # noqa: F401 (a fixture)

pytestmark = [pytest.mark.emerge, needs_root]


HELPERS = "has_version lab/none; doins /bin/true; dobin /bin/true; dodoc /etc/passwd"
BODY = f"""\
	[[ -v PYTHONDONTWRITEBYTECODE ]] && die "bytecode is not to be left out of what is built"
	{HELPERS}
}}
pkg_postinst() {{
	has_version lab/none
"""


def test_where_nothing_can_be_run(tmp_path: Path) -> None:
    """A command is run as it is where the script could not be."""
    argv = [sys.executable, "-B", "/usr/bin/emerge", "--version"]
    assert bytecode.without(str(tmp_path), argv)[-2:] == argv[-2:]
    assert bytecode.without(str(tmp_path), argv) != argv
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", tmp_path], check=True)
    try:
        assert bytecode.without(str(tmp_path), argv) == argv
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_no_bytecode_is_written_by_helpers_of_phases(
    project: Callable[[str, Mapping[str, str]], Project],  # noqa: F811
    tmp_path: Path,
) -> None:
    """Of a build, of a merge, and of a shell where a build failed; Portage comes without bytecode here."""
    ours = project("ours", {"one": BODY})
    home = tmp_path / "python"
    python = python_for_everyone(home, compiled=False)
    environment = {"PATH": f"{home}/bin:{ours.folder}/tools:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(ours.folder)}

    def doit(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [str(python), "-B", "-m", "doit", *words]
        environment["QUERN_BUILD_CONFINE"] = "off"
        return subprocess.run(argv, cwd=ours.folder, env=environment, capture_output=True, text=True)

    ran = doit("root:one")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    recipe = ours.folder / "tree/lab/one/one-1.ebuild"
    recipe.write_text(recipe.read_text().replace(HELPERS, f"{HELPERS}; die oops"))
    assert "doit shell:one" in doit("packages:one").stdout
    shell = doit("shell:one", f"--command={HELPERS}")
    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert sorted(home.rglob("*.pyc")) == []
