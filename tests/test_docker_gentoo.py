"""The docker driver with a builder that Portage owns, as a Gentoo stage is: its `/` serves the build.

It is imported, and the project is configured, as the manual shows it for a stage (gentoo).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import Builder, import_tar
from tests.building import CHECKOUT, Project, built, ran
from tests.projects import write
from tests.readme import blocks, docker_command, files

pytestmark = [pytest.mark.docker, pytest.mark.emerge]

HEAD = 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${WORKDIR}"\n'

ONE = """
BDEPEND="app-misc/tool"
DEPEND="app-misc/headers sys-devel/gcc"
RDEPEND="app-misc/data"
src_compile() {
    has_version -b app-misc/tool || die "the tool is not known"
    [[ ${SYSROOT:-/} == / ]] || die "SYSROOT is ${SYSROOT}"
    printf '#include <mine.h>\\nint main(void) { return MINE; }\\n' > one.c
    gcc -o one one.c || die
    quern-tool > made || die
}
src_install() {
    dobin one
    insinto /usr/share/one
    doins made
}
"""

OWNED = """
    doins made
    getent passwd portage && die "the stage's account is known"
    newins made given
    fowners lab:nogroup /usr/share/one/given
    newins made chowned
    chown nobody:lab "${ED}/usr/share/one/chowned" || die
"""

TREE = {
    "tree/metadata/layout.conf": "masters =\nthin-manifests = true\nprofile-formats = portage-2 profile-set\n"
    "aliases = gentoo\n",
    "tree/profiles/repo_name": "tree\n",
    "tree/profiles/categories": "app-misc\nsys-devel\n",
    "tree/profiles/arch.list": "amd64\n",
    "tree/profiles/base/make.defaults": 'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\nCHOST="x86_64-pc-linux-gnu"\n',
    "tree/sys-devel/gcc/gcc-12.ebuild": HEAD + 'pkg_setup() { die "this builder has one"; }\n',
    "tree/app-misc/tool/tool-1.ebuild": HEAD
    + "src_install() { printf '#!/bin/sh\\necho tooled\\n' > quern-tool; dobin quern-tool; }\n",
    "tree/app-misc/headers/headers-1.ebuild": HEAD
    + "src_install() { echo '#define MINE 42' > mine.h; insinto /usr/include; doins mine.h; }\n",
    "tree/app-misc/data/data-1.ebuild": HEAD + "src_install() { echo data > data; insinto /usr/share; doins data; }\n",
    "tree/app-misc/one/one-1.ebuild": HEAD + ONE,
    "profiles/repo_name": "images\n",
    "profiles/one/packages": "app-misc/one\n",
    "profiles/one/parent": "tree:base\n",
    "dodo.py": (CHECKOUT / "dodo.py").read_text(),
}


IMPORT, CONFIGURATION = files(blocks("gentoo", "In a Gentoo stage")[0])


@pytest.fixture(scope="module")
def gentoo(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A builder that looks like Gentoo to Portage, made of a file by the manual's command.

    The file is not compressed, whatever its name: that alone would take a minute.
    """
    folder = tmp_path_factory.mktemp("stage")
    *_, stage, name = IMPORT.split()
    Builder(builder.daemon, builder.like_gentoo("quern-test/gentoo:1")).export(folder / stage)
    if docker_command(builder.daemon, IMPORT, folder) is None:
        import_tar(builder.daemon, folder / stage, name)
    return Builder(builder.daemon, name)


@pytest.fixture
def project(tmp_path: Path, gentoo: Builder) -> Project:
    """A project of one image, with the manual's configuration but for the place of the tree."""
    shown = {name.replace("NAME", "one"): text for name, text in CONFIGURATION.items()}
    variables = {"DOCKER_HOST": gentoo.daemon.address, "QUERN_POSTBUILD_ENGINES": "none"}
    variables["QUERN_PORTAGE_REPOSITORIES"] = "./tree"
    return Project(write(tmp_path / "project", {**TREE, **shown}), variables)


def test_builder_s_own_root_serves_the_build(project: Project) -> None:
    """What is missing there is merged there, and thrown away; the image gets what it runs with."""
    output = project.doit("root:one")
    assert set(built(output)) == {"app-misc/tool-1", "app-misc/headers-1", "app-misc/data-1", "app-misc/one-1"}
    root = project.folder / "build/one/root/image"
    assert (root / "usr/share/one/made").read_text() == "tooled\n"
    assert (root / "usr/share/data").is_file()
    assert not (root / "usr/bin/quern-tool").exists()
    assert not (root / "usr/include").exists()
    assert sorted(path.name for path in (root / "var/db/pkg/app-misc").iterdir()) == ["data-1", "one-1"]
    assert ran(project.doit("root:one")) == []


def test_what_was_built_to_build_with_is_kept(project: Project) -> None:
    """An edit of the image's package takes the tool from a binary package; one of the tool builds both. In a tmpfs."""
    project.variables["QUERN_DOCKER_WORKDIR_STORAGE"] = "tmpfs:256m"
    project.doit("root:one")
    with (project.folder / "tree/app-misc/one/one-1.ebuild").open("a") as file:
        file.write("# edited\n")
    assert built(project.doit("root:one")) == ["app-misc/one-1"]
    project.edit("tree/app-misc/tool/tool-1.ebuild", "echo tooled", "echo better")
    assert set(built(project.doit("root:one"))) == {"app-misc/tool-1", "app-misc/one-1"}
    assert (project.folder / "build/one/root/image/usr/share/one/made").read_text() == "better\n"


def test_what_phases_need_on_the_host_is_there(project: Project) -> None:
    """IDEPEND is merged into the builder's `/` before the root is filled, and is not in the image (PMS 8.1)."""
    project.variables["QUERN_DOCKER_WORKDIR_STORAGE"] = "tmpfs:256m"  # D is there: on another mount than the root
    postinst = 'pkg_postinst() { quern-tool > "${EROOT}/usr/share/one/installed" || die; }\n'
    project.edit("tree/app-misc/one/one-1.ebuild", "BDEPEND=", "IDEPEND=")
    project.edit("tree/app-misc/one/one-1.ebuild", "has_version -b app-misc/tool", "has_version -b sys-devel/gcc")
    project.edit("tree/app-misc/one/one-1.ebuild", "quern-tool > made", "echo built > made")
    project.edit("tree/app-misc/one/one-1.ebuild", "src_install()", f"{postinst}src_install()")
    project.doit("root:one")
    root = project.folder / "build/one/root/image"
    assert (root / "usr/share/one/installed").read_text() == "tooled\n"
    assert (root / "usr/bin/one").is_file()
    assert not (root / "usr/bin/quern-tool").exists()
    assert sorted(path.name for path in (root / "var/db/pkg/app-misc").iterdir()) == ["data-1", "one-1"]


def test_a_builder_whose_profile_no_repository_has_is_named(project: Project) -> None:
    """Without the alias, nothing is where the builder's make.profile leads."""
    project.edit("tree/metadata/layout.conf", "aliases = gentoo\n", "")
    output = project.doit("root:one", status=1)
    assert (
        "docker.image = my-stage:20261101: its profile is /etc/portage/make.profile ->"
        " /var/db/repos/gentoo/profiles/base, and no repository has that folder\n"
    ) in output
    assert "aliases = gentoo" in output


def test_accounts_are_those_of_the_image_not_of_the_stage(project: Project) -> None:
    """The stage has a user portage, and the image's root what its packages install: `nogroup` is 65533 in there."""
    passwd, group = (
        "root:x:0:0::/root:/bin/sh\\nlab:x:4321:4322::/:/bin/false",
        "root:x:0:\\nnogroup:x:65533:\\nlab:x:4322:",
    )
    accounts = f"insinto /etc; newins - passwd <<< $'{passwd}'; newins - group <<< $'{group}'"
    project.edit("tree/app-misc/data/data-1.ebuild", "doins data;", f"doins data; {accounts};")
    project.edit("tree/app-misc/one/one-1.ebuild", "    doins made\n", OWNED)
    project.doit("root:one")
    folder = project.folder / "build/one/root/image/usr/share/one"
    found = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert found == {"made": (0, 0), "given": (4321, 65533), "chowned": (65534, 4322)}
