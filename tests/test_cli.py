from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quern import __version__, cli, config
from tests.building import CHECKOUT
from tests.conftest import needs_root
from tests.projects import DATA, write

SEED = DATA / "seed"


def quern_builder(
    *arguments: str, folder: Path | None = None, variables: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    return subprocess.run(
        [sys.executable, "-c", "import sys; from quern.cli import main; sys.exit(main())", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **(variables or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file with everything but packages that could be built."""
    repositories = ", ".join(str(SEED / name) for name in ("portage", "musl-overlay", "test-overlay"))
    text = f"[portage]\nrepositories = {repositories}\n[build]\nprofile = test-overlay:musl-python3\nworkdir = work\n"
    return write(tmp_path, {"tiny.conf": text}) / "tiny.conf"


def test_help_is_usage_and_every_option() -> None:
    ran = quern_builder("--help")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("usage: quern-builder [-h] [--version] FILE.conf\n")
    assert ran.stdout.rstrip().endswith(config.template().rstrip())
    for option in config.OPTIONS:
        assert f"QUERN_{option.section}_{option.key}".upper().replace("-", "_") in ran.stdout


def test_help_is_a_configuration_that_can_be_read(tmp_path: Path) -> None:
    text = quern_builder("--help").stdout
    file = write(tmp_path, {"all.conf": text[text.index("[build]") :]}) / "all.conf"
    assert config.load([file], {}, tmp_path)[:-3] == config.load([], {}, tmp_path)[:-3]  # all but where it is from


def test_version() -> None:
    assert quern_builder("--version").stdout == f"quern {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: FILE.conf"),
        (["a.conf", "b.conf"], "unrecognized arguments: b.conf"),
        (["--frobnicate", "a.conf"], "unrecognized arguments: --frobnicate"),
    ],
)
def test_wrong_command_line(arguments: list[str], message: str) -> None:
    ran = quern_builder(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.splitlines()[-1] == f"quern-builder: error: {message}"


def test_missing_file(tmp_path: Path) -> None:
    ran = quern_builder("absent.conf", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "quern-builder: error: absent.conf: expected a configuration file, found none\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[emerge]\njobs = many\n", "2: emerge.jobs: expected an integer, got 'many'"),
        ("[emerge]\njbos = 1\n", "2: emerge.jbos: unknown option; did you mean emerge.jobs?"),
        ("[strip]\ndoc = maybe\n", "2: strip.doc: expected on or off (or yes, no, true, false, 1, 0), got 'maybe'"),
        (
            "[emerge]\njobs = 1\n",
            " build.profile: expected REPOSITORY:PATH, or the files of a profile beside it, found neither",
        ),
    ],
)
def test_bad_option(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, {"bad.conf": text}) / "bad.conf"
    ran = quern_builder("bad.conf", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr in {f"quern-builder: error: {place}:{message}\n" for place in ("bad.conf", str(file))}


def test_bad_variable(file: Path) -> None:
    ran = quern_builder(str(file), variables={"QUERN_EMERGE_JOBS": "many"})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "quern-builder: error: QUERN_EMERGE_JOBS: emerge.jobs: expected an integer, got 'many'\n"


def test_missing_profile(file: Path) -> None:
    ran = quern_builder(str(file), variables={"QUERN_BUILD_PROFILE": "test-overlay:musl-python4"})
    assert ran.returncode == 1
    message = "there is no profile test-overlay:musl-python4; did you mean test-overlay:musl-python3?"
    assert ran.stderr == f"quern-builder: error: build.profile = test-overlay:musl-python4: {message}\n"


def test_stages_and_a_missing_tool(file: Path, tmp_path: Path) -> None:
    """Without tools nothing is built; what comes before is said in the order of the stages."""
    (tmp_path / "bin").mkdir()
    ran = quern_builder(str(file), variables={"PATH": str(tmp_path / "bin")})
    assert ran.returncode == 1
    assert re.fullmatch(
        rf">>> INFO: Successfully loaded configuration from files \[.*'{file}'\]\n"
        rf">>> INFO: Configuring build portage at {tmp_path}/work/tiny/portage/etc/portage\n"
        ">>> INFO: Configuring build repositories\n"
        rf"(>>> INFO: Configuring repository {SEED}/[a-z-]+\n){{3}}"
        ">>> INFO: Enabling profile test-overlay:musl-python3\n",
        ran.stdout,
    )
    assert ran.stderr.startswith("quern-builder: error: tools that the build needs are missing:\n")
    assert re.search(r"^  bash +Debian package bash, needed by Portage$", ran.stderr, re.M)
    assert "\nOn Debian: apt-get install " in ran.stderr
    assert "Traceback" not in ran.stderr
    again = quern_builder(str(file), variables={"PATH": str(tmp_path / "bin")})
    assert again.stdout == ">>> INFO: Step portage is up to date\n"


def test_work_folder_is_private(file: Path, tmp_path: Path) -> None:
    quern_builder(str(file), variables={"PATH": str(tmp_path)})
    assert (tmp_path / "work").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["tiny"]


def test_default_work_folder() -> None:
    assert Path("/tmp/quern") == cli.WORKDIR


@needs_root
def test_work_folder_of_someone_else(file: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    os.chown(tmp_path / "work", 65534, 65534)
    _refused(file, f"{tmp_path / 'work'} belongs to someone else; set [build] workdir to a folder of yours")
    assert list((tmp_path / "work").iterdir()) == []


def test_work_folder_that_is_a_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "work").symlink_to("elsewhere")
    _refused(file, f"{tmp_path / 'work'} is a link; name the folder that it points to")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["work", "work/deeper"])
def test_work_folder_that_cannot_be(file: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "work").write_text("")
    ran = quern_builder(str(file), variables={"QUERN_BUILD_WORKDIR": str(tmp_path / name)})
    assert (ran.returncode, ran.stdout) == (1, "")
    assert re.fullmatch(rf"quern-builder: error: build\.workdir: {tmp_path}/{name} .*\n", ran.stderr)


def _refused(file: Path, message: str) -> None:
    ran = quern_builder(str(file))
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"quern-builder: error: build.workdir: {message}\n")


def test_file_in_a_project(tmp_path: Path) -> None:
    """quern.conf of an image's folder means that folder's profile."""
    conf = f"[portage]\nrepositories = {SEED / 'portage'}\n[build]\nworkdir = {tmp_path / 'work'}\n"
    files = {"repo_name": "images\n", "mine/quern.conf": conf, "mine/packages": "app-misc/mime-types\n"}
    profiles = write(tmp_path / "profiles", {**files, "mine/parent": "gentoo:hardened/linux/musl/amd64\n"})
    ran = quern_builder(str(profiles / "mine/quern.conf"), variables={"PATH": str(tmp_path)})
    assert ran.stdout.splitlines()[-1] == ">>> INFO: Enabling profile images:mine"


def test_file_beside_a_profile(tmp_path: Path) -> None:
    """Another configuration of the same profile, and relative paths that start at the project, as in quern.conf."""
    write(tmp_path / "work", {})
    (tmp_path / "work").mkdir(mode=0o700)
    conf = "[portage]\nrepositories = ./tree/portage\n[build]\nworkdir = work\n"
    files = {"repo_name": "images\n", "mine/small.conf": conf, "mine/packages": "app-misc/mime-types\n"}
    profiles = write(tmp_path / "profiles", {**files, "mine/parent": "gentoo:hardened/linux/musl/amd64\n"})
    (tmp_path / "tree").symlink_to(SEED)
    ran = quern_builder(str(profiles / "mine/small.conf"), variables={"PATH": str(tmp_path)})
    assert ran.stdout.splitlines()[-1] == ">>> INFO: Enabling profile images:mine", ran.stderr
    assert (tmp_path / "work/small").is_dir()


def test_work_folder_with_the_users_files_in_it(tmp_path: Path) -> None:
    conf = f"[portage]\nrepositories = {SEED / 'portage'}\n[build]\nworkdir = {tmp_path / 'profiles'}\n"
    write(tmp_path / "profiles", {"repo_name": "x\n", "mine/quern.conf": conf, "mine/packages": "a/b\n"})
    (tmp_path / "profiles").chmod(0o700)
    ran = quern_builder(str(tmp_path / "profiles/mine/quern.conf"))
    assert ran.returncode == 1
    assert "would mix with" in ran.stderr
