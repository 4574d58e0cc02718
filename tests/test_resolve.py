"""Portage's resolver in process, against a tiny repository, and against emerge itself."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.portage import emerge
from quern.portage.plan import Plan
from quern.steps.emerging import Build
from tests.projects import image_of, names, source_build, source_plan, write

HEAD = 'EAPI=8\nDESCRIPTION="Installs nothing"\nLICENSE="none"\nKEYWORDS="amd64"\nS="${WORKDIR}"\n'
EBUILDS = {
    "lib/libc-1": 'SLOT="0/1"',
    "lib/libc-2": 'SLOT="0/2"\nKEYWORDS="~amd64"',
    "lib/headers-1": 'SLOT="0"',
    "lib/zlib-1.3-r2": 'inherit part\nSLOT="0/1"\nIUSE="+static test"\nDEPEND="lib/headers"\nRDEPEND="lib/libc:="',
    "lib/ssl-3": 'inherit part\nSLOT="0"\nIUSE="zlib"\nRDEPEND="zlib? ( lib/zlib:= )"\nDEPEND="${RDEPEND}"\n'
    'PDEPEND="app/certs"\nSRC_URI="https://example.org/ssl-3.tar.xz zlib? ( https://example.org/patch.xz )"',
    "app/certs-1": 'SLOT="0"',
    "app/tool-1": 'SLOT="1"\nRDEPEND="lib/ssl || ( app/absent lib/libc )"',
    "app/tool-2": 'SLOT="2"\nRDEPEND="lib/ssl[zlib]"',
    "app/needs-absent-1": 'SLOT="0"\nRDEPEND="app/absent"',
}

TREE = {
    "metadata/layout.conf": "masters =\nthin-manifests = true\nprofile-formats = portage-2 profile-set\n",
    "profiles/repo_name": "tiny\n",
    "profiles/eapi": "8\n",
    "profiles/categories": "app\nlib\n",
    "profiles/arch.list": "amd64\n",
    "profiles/base/eapi": "8\n",
    "profiles/base/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\nACCEPT_LICENSE="*"\nCFLAGS="-O2"\n',
    "profiles/image/eapi": "8\n",
    "profiles/image/parent": "../base\n",
    "profiles/image/packages": "app/tool:1\n",
    "profiles/image/package.use": "",
    "eclass/common.eclass": "# inherited by part\n",
    "eclass/part.eclass": "inherit common\n",
    "lib/ssl/Manifest": "DIST ssl-3.tar.xz 1 BLAKE2B 11 SHA512 22\n",
    **{f"{re.sub('-[0-9].*', '', cpv)}/{cpv.split('/')[1]}.ebuild": f"{HEAD}{text}\n" for cpv, text in EBUILDS.items()},
}


RESOLVING = [option for option in emerge.source_options(1, binhost=False) if not option.endswith("pkg")]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository and the work folder of an image, with the ebuilds read once for all tests."""
    folder = tmp_path_factory.mktemp("tiny")
    write(folder / "tree", TREE)
    write(folder, {"image.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = tiny:image\n"})
    return folder


@pytest.fixture(autouse=True)
def repository(work: Path) -> Path:
    """The repository as it was written, whatever the test before has done to it."""
    return write(work / "tree", TREE)


def plan(work: Path) -> Plan:
    return source_plan(image_of(work / "image.conf", work / "work"))


def pretended(build: Build) -> list[str]:
    """The packages of `emerge --pretend`, in order."""
    options = [*RESOLVING, "--pretend", "@profile"]
    argv = [build.machine.python, build.machine.emerge, *options]
    ran = subprocess.run(argv, env=build.surroundings.environment(), capture_output=True, text=True, check=True)
    return re.findall(r"^\[ebuild .*?\] ([^\s:]+)", ran.stdout, re.M)


@pytest.mark.parametrize(
    "packages",
    ["app/tool:1\n", "app/tool:2\n", "app/tool:1\napp/tool:2\nlib/zlib\n", "app/certs\nlib/libc\nlib/headers\n"],
)
def test_the_plan_is_emerge_s(work: Path, packages: str) -> None:
    write(work / "tree/profiles/image", {"packages": packages, "package.use": "lib/ssl zlib\n"})
    build = source_build(image_of(work / "image.conf", work / "work"))
    found = build.plan(emerge.source_options(1, binhost=False), ["@profile"])
    expected = pretended(build)
    assert len(expected) >= 3
    assert [package.cpv for package in found.packages] == expected


def test_what_a_plan_says_of_a_package(work: Path) -> None:
    write(work / "tree/profiles/image", {"package.use": "lib/ssl zlib\n"})
    found = plan(work)
    ssl, zlib = found["lib/ssl-3"], found["lib/zlib-1.3-r2"]
    assert (zlib.slot, zlib.subslot, zlib.repository) == ("0", "1", "tiny")
    assert zlib.use == ("static",)
    assert {"static", "test"} <= set(zlib.iuse)
    assert zlib.ebuild == str(work / "tree/lib/zlib/zlib-1.3-r2.ebuild")
    eclasses = {name: str(work / f"tree/eclass/{name}.eclass") for name in ("common", "part")}
    assert zlib.eclasses == eclasses  # the indirect one too
    assert zlib.build_deps == ("lib/headers-1",)
    assert zlib.run_deps == ("lib/libc-1",)
    assert ssl.distfiles == ("patch.xz", "ssl-3.tar.xz")
    assert ssl.build_deps == ssl.run_deps[1:] == ("lib/zlib-1.3-r2",)
    assert ssl.run_deps[0] == "app/certs-1"
    assert not any(package.on_host for package in found.packages)
    assert found.variables["CFLAGS"] == "-O2"
    assert not {"USE", "PKGDIR", "MAKEOPTS", "PORTAGE_TMPDIR", "DISTDIR", "ACCEPT_KEYWORDS"} & found.variables.keys()


def test_distfiles_are_those_of_the_flags(work: Path) -> None:
    assert plan(work)["lib/ssl-3"].distfiles == ("ssl-3.tar.xz",)


def test_variables_name_no_path_of_this_run(work: Path) -> None:
    for name, value in plan(work).variables.items():
        assert str(work) not in value, name


def test_a_profile_s_bashrc_is_a_variable(work: Path) -> None:
    before = plan(work).variables
    write(work / "tree/profiles/base", {"profile.bashrc": "CFLAGS+=' -g'\n"})
    after = plan(work).variables
    (work / "tree/profiles/base/profile.bashrc").unlink()
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == {"profile.bashrc 0"}


def test_so_is_what_a_bashrc_may_source(work: Path) -> None:
    """Not what Portage itself reads, which is in the plan."""
    base = write(work / "tree/profiles/base", {"flags.bash": "CFLAGS+=' -g'\n", "flags.bash~": "", "use.mask": ""})
    assert "bashrc-sources 0" not in plan(work).variables  # nobody reads it
    write(base, {"profile.bashrc": 'source "${BASH_SOURCE[0]%/*}/flags.bash"\n'})
    before = plan(work).variables
    write(base, {"flags.bash": "CFLAGS+=' -ggdb'\n"})
    after = plan(work).variables
    for name in ("profile.bashrc", "flags.bash", "flags.bash~", "use.mask"):
        (base / name).unlink()
    assert [name for name in {*before, *after} if before.get(name) != after.get(name)] == ["bashrc-sources 0"]


def test_quick_edits_of_an_ebuild_are_seen(work: Path) -> None:
    """Portage would accept cached metadata that was written in the second of the edit."""
    for number in range(4):
        text = EBUILDS["app/tool-1"].replace("lib/ssl ", "lib/ssl lib/headers " if number % 2 else "lib/ssl ")
        write(work / "tree/app/tool", {"tool-1.ebuild": f"{HEAD}{text}\n"})
        assert ("lib/headers-1::tiny" in names(plan(work))) == bool(number % 2)
        time.sleep(0.1)


def test_no_solution(work: Path) -> None:
    write(work / "tree/profiles/image", {"packages": "app/needs-absent\n"})
    build = source_build(image_of(work / "image.conf", work / "work"))
    with pytest.raises(BuildError) as error:
        build.plan(emerge.source_options(1, binhost=False), ["@profile"])
    assert "app/absent" in str(error.value)
    assert "app/needs-absent-1" in str(error.value)
    assert "there are no ebuilds to satisfy" in build.log.read_text()


def test_output_of_a_failure_is_emerge_s(work: Path) -> None:
    write(work / "tree/profiles/image", {"packages": "lib/libc:0/2\n=lib/libc-2\n"})
    build = source_build(image_of(work / "image.conf", work / "work"))
    arguments = [*RESOLVING, "@profile"]
    environment = build.surroundings.environment()
    answer = build.run.driver.call("resolve", environment=environment, arguments=arguments)
    argv = [build.machine.python, build.machine.emerge, *arguments, "--pretend"]
    ran = subprocess.run(argv, env=environment, capture_output=True, text=True)
    assert not answer["success"]
    assert "plan" not in answer
    assert ran.returncode == 1
    (reason,) = re.findall(r"^.*masked by: ~amd64 keyword.*$", ran.stdout + ran.stderr, re.M)
    assert reason in answer["output"].splitlines()


def test_nothing_to_install(work: Path) -> None:
    build = source_build(image_of(work / "image.conf", work / "work"))
    with pytest.raises(BuildError, match="tiny:image: emerge @system has nothing to install"):
        build.plan(emerge.source_options(1, binhost=False), ["@system"])


@pytest.mark.parametrize("name", ["my project", "a$b", "it's", 'say "x"', "a:b", "a;b", "a\\b", "a\nb", "a#b", "a%b"])
def test_paths_that_a_build_cannot_take(work: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(BuildError, match=r"in its path would end a build in its middle; set \[build\] workdir"):
        source_build(image_of(work / "image.conf", tmp_path / name))


def test_paths_that_a_build_can_take(work: Path, tmp_path: Path) -> None:
    source_build(image_of(work / "image.conf", tmp_path / "Ünï-1.0_a,b+c@d"))


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"profiles/base/make.defaults": 'CFLAGS="-O2\n'}, "make.defaults:1: the quotation that begins here is not"),
        ({"app/tool/tool-1.ebuild": f"{HEAD}SLOT=0\nif true; then\n"}, "app/tool/tool-1.ebuild:[0-9]+: syntax error"),
    ],
    ids=["quote", "ebuild"],
)
def test_what_portage_gives_up_on_is_said(work: Path, files: dict[str, str], named: str) -> None:
    write(work / "tree", files)
    build = source_build(image_of(work / "image.conf", work / "work"))
    with pytest.raises(BuildError, match=named):
        build.plan(emerge.source_options(1, binhost=False), ["@profile"])
