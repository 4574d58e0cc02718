"""The example of quern's first description: its configuration and its profile as they were written, and what they gave.

tests/data/seed/
  musl-python3.conf      the example's configuration
  test-overlay/          the profile's six files, in a repository of ours
  portage/               a small tree named gentoo; its ebuilds install nothing, and depend on one another as in the run
  musl-overlay/
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from quern import config
from quern.project import Image
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from tests.projects import DATA, Said, image_of, names, overlay_image, run, source_plan

SEED = DATA / "seed"
PROFILE = SEED / "test-overlay/profiles/musl-python3"

# SHA-256 of the example's own files: they stay as they were written
AS_WRITTEN = {
    SEED / "musl-python3.conf": "a9831c2498623e7daa6784a9dd403a45bbcfe14c70c5b8bf4530e63d00e11e99",
    PROFILE / "make.defaults": "61e6cc3e6a75ce3251ad8085ec2d5c84429a1f069f65d352e163320ef16a7a42",
    PROFILE / "package.provided": "6c8d62002cf3d37734f570a0fc1cc95abc103db4370f4a4db89502897e0ed3f6",
    PROFILE / "packages": "a5940a88df3f4d65b91ff7d47e00d1376fbc008e46a79c77c349bf335fcfded2",
    PROFILE / "parent": "bfdab884db6155f8896f8178a8c92211af1e7ded16633998b67891d5e16490dd",
    PROFILE / "use.force": "45363e9a9b42fffaf80a903813fb0d4449e3ccd2d92cf048aa7e88507accd531",
    PROFILE / "use.mask": "f50923c2f2018c3e7db0fb938348913f0ab1cb8fc490744711bbcb5b6e38d259",
}

MERGED = [  # the 19 packages of the example's run
    "app-arch/bzip2-1.0.6-r6::gentoo",
    "app-arch/xz-utils-5.2.2::gentoo",
    "app-misc/c_rehash-1.7-r1::gentoo",
    "app-misc/ca-certificates-20151214.3.21::gentoo",
    "app-misc/mime-types-9::gentoo",
    "dev-lang/python-3.4.3-r1::gentoo",
    "dev-libs/expat-2.1.0-r5::gentoo",
    "dev-libs/libffi-3.0.13-r1::gentoo",
    "dev-libs/openssl-1.0.2h::gentoo",
    "sys-apps/busybox-1.24.2-r99::musl",
    "sys-apps/debianutils-4.4::gentoo",
    "sys-libs/musl-1.1.14::gentoo",
    "sys-libs/ncurses-5.9-r5::gentoo",
    "sys-libs/ncurses-5.9-r99::gentoo",
    "sys-libs/readline-6.3_p8-r2::gentoo",
    "sys-libs/zlib-1.2.8-r1::gentoo",
    "virtual/libc-0::gentoo",
    "virtual/libffi-3.0.13-r1::gentoo",
    "virtual/libintl-0-r2::gentoo",
]


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example that tests may add to; its work folder is beside it, with ebuilds already read."""
    return shutil.copytree(SEED, tmp_path_factory.mktemp("example") / "seed")


def example(seed: Path, **environ: str) -> Image:
    """The example's image: its paths of 2016 and its driver replaced by the environment, as a user would do it."""
    work = seed.parent / "work"
    repositories = (seed / name for name in ("portage", "musl-overlay", "test-overlay"))
    environ |= {
        "QUERN_BUILD_DRIVER": "raw",
        "QUERN_BUILD_OUTDIR": str(work / "images"),
        "QUERN_PORTAGE_BINPKG": str(work / "binpkgs"),
        "QUERN_PORTAGE_DISFTILES": str(work / "distfiles"),  # spelt as in the example's reference
        "QUERN_PORTAGE_REPOSITORIES": ", ".join(map(str, repositories)),
    }
    return image_of(seed / "musl-python3.conf", work, environ)


def test_files_are_as_written() -> None:
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in AS_WRITTEN} == AS_WRITTEN


def test_configuration_as_written() -> None:
    found = config.load([SEED / "musl-python3.conf"], {}, SEED)
    home = Path("/home/user/dev")
    assert [ref.path for ref in found.portage.repositories or ()] == [
        home / "portage",
        home / "musl-overlay",
        home / "test-overlay",
    ]
    assert found.portage.binpkg == home / "binpkg/amd64-musl-hardened"
    assert found.build.outdir == home / "image"
    assert (found.build.profile, found.build.driver) == ("test-overlay:musl-python3", "docker")
    assert found.docker.image == "quern-amd64-musl-hardened:20160404"
    assert found.emerge.jobs == 6
    assert found.strip.doc
    assert found.strip.paths == ("/var/db/pkg", "/usr/lib/python3.4/test")
    assert found.postbuild.engines == "docker"
    said = found.dockergen
    assert (said.name, said.tag, said.entrypoint) == ("musl-python3", "$$DATE$$", ("/usr/bin/python3",))
    assert said.maintainer == "Raphaël Barrois <raphael.barrois+quern@polytechnique.org>"


def test_packages_of_the_run(seed: Path) -> None:
    plan = source_plan(example(seed))
    assert names(plan) == MERGED
    assert {package.cpv: package.slot for package in plan.packages if "ncurses" in package.cpv} == {
        "sys-libs/ncurses-5.9-r5": "0",
        "sys-libs/ncurses-5.9-r99": "5",
    }
    assert plan["virtual/libc-0"].use == ("musl",)


def test_stages_of_the_run(seed: Path, tmp_path: Path) -> None:
    image, said = example(seed)._replace(work=tmp_path / "work"), Said()
    run_step(steps_of(image)[0], run(said))
    etc = image.work / "portage/etc/portage"
    assert said.lines == [
        f"Successfully loaded configuration from files ['{seed / 'musl-python3.conf'}']",
        f"Configuring build portage at {etc}",
        "Configuring build repositories",
        f"Configuring repository {seed / 'portage'}",
        f"Configuring repository {seed / 'musl-overlay'}",
        f"Configuring repository {seed / 'test-overlay'}",
        "Enabling profile test-overlay:musl-python3",
    ]
    assert (etc / "make.profile/parent").read_text() == "test-overlay:musl-python3\n"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("make.defaults", {"dev-lang/python-2.7.11-r1::gentoo"}),
        (
            "package.provided",
            {"app-admin/python-updater-0.13::gentoo", "app-eselect/eselect-python-20140125-r1::gentoo"},
        ),
        ("use.force", {"sys-libs/glibc-2.22-r4::gentoo"}),
        ("use.mask", {"sys-libs/glibc-2.22-r4::gentoo"}),
    ],
)
def test_every_file_of_the_profile_counts(seed: Path, name: str, more: set[str]) -> None:
    profiles = seed / "test-overlay/profiles"
    shutil.copytree(PROFILE, profiles / f"without-{name}", ignore=shutil.ignore_patterns(name))
    found = names(source_plan(example(seed, QUERN_BUILD_PROFILE=f"test-overlay:without-{name}")))
    assert set(found) - set(MERGED) == more


def test_the_same_files_in_a_project(tmp_path: Path) -> None:
    folder = shutil.copytree(PROFILE, tmp_path / "profiles/musl-python3")
    (tmp_path / "profiles/repo_name").write_text("images\n")
    lines = ["[portage]", f"repositories = {SEED / 'portage'}, {SEED / 'musl-overlay'}"]
    (folder / "quern.conf").write_text("\n".join(lines))
    image = overlay_image(folder, tmp_path / "build/musl-python3")
    assert names(source_plan(image)) == MERGED
    copied = image.work / "portage/overlay/profiles/musl-python3"
    assert sorted(path.name for path in copied.iterdir()) == sorted(path.name for path in PROFILE.iterdir())
