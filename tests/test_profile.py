"""Profiles: the stack Portage would make of them, and what is refused before Portage skips it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import ProfileError
from quern.portage.profile import ProfileStack, find_profile, read_profile_stack
from quern.portage.repository import Repository

FORMATS = ("portage-2", "profile-set", "profile-default-eapi")


@pytest.fixture(autouse=True)
def _in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        file = Path.cwd() / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def repositories(formats: tuple[str, ...] = FORMATS) -> list[Repository]:
    """A tree `gentoo` in ./gentoo, and our overlay `mine` around ./profiles."""
    here = Path.cwd()
    gentoo = Repository("gentoo", here / "gentoo", here / "gentoo/profiles", (), None, (), ("g",), formats, "5")
    mine = Repository("mine", here / "build/overlay", here / "profiles", ("gentoo",), None, (), (), FORMATS, "6")
    return [gentoo, mine]


def read(files: dict[str, str], folder: str = "profiles/x", include_system: bool = False) -> ProfileStack:
    write(files)
    return read_profile_stack(Path.cwd() / folder, repositories(), include_system)


def refusal(files: dict[str, str], folder: str = "profiles/x", include_system: bool = False) -> str:
    with pytest.raises(ProfileError) as caught:
        read(files, folder, include_system)
    return str(caught.value)


GENTOO = {
    "gentoo/profiles/base/packages": "# the system\n*sys-apps/baselayout\n*sys-apps/grep\n",
    "gentoo/profiles/hardened/linux/musl/amd64/parent": "../../../../base\n",
    "gentoo/profiles/hardened/linux/musl/amd64/eapi": "5\n",
}


def test_the_seeds_profile_is_read_as_it_is() -> None:
    found = read(
        GENTOO
        | {
            "profiles/x/make.defaults": '# Install only Python3.4\nPYTHON_TARGETS="-python2_7 python3_4"\n',
            "profiles/x/package.provided": "# Don't install python3 post-install packages\n"
            "app-admin/python-updater-0.11\napp-eselect/eselect-python-20111108\n",
            "profiles/x/packages": "virtual/libc\ndev-lang/python:3.4\n",
            "profiles/x/use.force": "# Disable glibc, use musl instead\n-glibc\nmusl\n",
            "profiles/x/parent": "# Reuse the musl profile from Gentoo\ngentoo:hardened/linux/musl/amd64\n",
        }
    )
    assert [str(folder.relative_to(Path.cwd())) for folder in found.folders] == [
        "gentoo/profiles/base",
        "gentoo/profiles/hardened/linux/musl/amd64",
        "profiles/x",
    ]
    assert found.packages == ("virtual/libc", "dev-lang/python:3.4")
    assert found.system == ("sys-apps/baselayout", "sys-apps/grep")
    assert found.warnings == ()


def test_parents_stack_and_can_be_taken_back() -> None:
    found = read(
        {
            "profiles/a/packages": "x/one\nx/two  # why\n*x/system\n",
            "profiles/b/packages": "-x/one\nx/three\n-*x/system\n",
            "profiles/x/parent": "../a\n:b\n",
            "profiles/x/packages": "x/four\n",
        }
    )
    assert found.packages == ("x/two", "x/three", "x/four")
    assert found.system == ()


def test_everything_can_be_taken_back() -> None:
    found = read(
        {"profiles/a/packages": "x/one\n*x/s\n", "profiles/x/parent": "../a\n", "profiles/x/packages": "-*\nx/two\n"}
    )
    assert (found.packages, found.system) == (("x/two",), ())


def test_a_folder_inherited_twice_stands_there_twice() -> None:
    files = {"profiles/a/packages": "x/one\n", "profiles/b/parent": "../a\n", "profiles/x/parent": "../a\n../b\n"}
    assert [folder.name for folder in read(files).folders] == ["a", "a", "b", "x"]


ONE = {"profiles/x/packages": "x/one\n"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"profiles/x/parent": "# x\n../nowhere\n", "profiles/nowhat/eapi": "6\n"},
            "profiles/x/parent:2: there is no profile mine:nowhere; did you mean mine:nowhat?",
        ),
        (
            {"profiles/x/parent": "gento:base\n"},
            "profiles/x/parent:1: portage.repositories lists no repository 'gento'; did you mean gentoo?",
        ),
        (
            GENTOO | {"profiles/x/parent": "gentoo:hardened/linux/musk/amd64\n"},
            "profiles/x/parent:1: there is no profile gentoo:hardened/linux/musk/amd64; did you "
            "mean gentoo:hardened/linux/musl/amd64?",
        ),
        (
            {"profiles/x/parent": "../../gentoo/profiles/base\n"} | GENTOO,
            "profiles/x/parent:1: '../../gentoo/profiles/base' leads out of profiles; write REPOSITORY:PATH",
        ),
        (
            {"profiles/x/parent": "# nothing\n"},
            "profiles/x/parent: expected the path of a profile in each line, got none",
        ),
        (
            {"profiles/x/parent": "gentoo:\n"},
            "profiles/x/parent:1: expected the path of a profile below gentoo:, got ''",
        ),
        (
            {"profiles/x/parent": "../y\n", "profiles/y/parent": "../x\n"},
            "profiles/y/parent: profiles/x inherits itself",
        ),
        ({"profiles/x/eapi": "42\n"}, "profiles/x/eapi: expected an EAPI from 0 to 9, got '42'"),
        (
            {"profiles/x/packages": "x/one\npython\n"},
            "profiles/x/packages:2: 'python' is no package atom: expected category/package",
        ),
        (
            {"profiles/x/packages": "x/one-1\n"},
            "profiles/x/packages:1: 'x/one-1' is no package atom: a version needs an operator: write =",
        ),
        (
            {"profiles/x/package.use": "*/* -nls\n"},
            "profiles/x/package.use:1: '*/*' is no package atom: wildcards are for /etc/portage, a"
            " profile needs category/package",
        ),
        (
            {"profiles/x/package.use/python": "x/one ssl\nx/two: a\n"},
            "profiles/x/package.use/python:2: 'x/two:' is no package atom: ':' is no slot",
        ),
        (
            {"profiles/x/package.use": "x/one ssl -gtk\nx/two +qt\n"},
            "profiles/x/package.use:2: '+qt' is no USE flag: expected FLAG or -FLAG",
        ),
        (
            {"profiles/x/package.use.mask": "x/one ssl -\n"},
            "profiles/x/package.use.mask:1: '-' is no USE flag: expected FLAG or -FLAG",
        ),
        (
            {"profiles/x/use.force": "-ssl\nssl gtk\n"},
            "profiles/x/use.force:2: 'ssl gtk' is no USE flag: expected FLAG or -FLAG",
        ),
        (
            {"profiles/x/package.mask": "x/one x/two\n"},
            "profiles/x/package.mask:1: 'x/one x/two' is no package atom: expected one atom on a line",
        ),
        (
            {"profiles/x/package.provided": "x/one\n"},
            "profiles/x/package.provided:1: 'x/one' is no package atom: expected category/package-"
            "version, without operator or slot",
        ),
        (
            {"profiles/x/package.provided": "x/one-1\n", "profiles/x/eapi": "8\n"},
            "profiles/x/package.provided: Portage ignores package.provided in EAPI 8; write 6 into profiles/x/eapi",
        ),
        ({"profiles/x/packages/a": "x/one\n"}, "profiles/x/packages: expected a file, got a folder"),
        (
            {"profiles/x/eapi": "0\n", "profiles/x/packages": "x/one:3\n"},
            "profiles/x/packages:1: 'x/one:3' is no package atom: slots need an `eapi` file of 1 "
            "or more beside this file",
        ),
    ],
)
def test_what_portage_would_skip_is_refused(files: dict[str, str], message: str) -> None:
    assert refusal(files if "profiles/x/packages/a" in files else ONE | files) == message


def test_an_empty_image_is_refused() -> None:
    assert refusal({"profiles/x/make.defaults": ""}) == (
        "profiles/x/packages: the profile names no package to install; write a line category/package"
    )
    files = {"profiles/x/packages": "*x/one\n"}
    assert refusal(files) == (
        "profiles/x/packages: the profile has only *category/package lines, which make up @system; "
        "drop the * to have them in the image, or set `include_system = on` in [build]"
    )
    assert read(files, include_system=True).system == ("x/one",)
    assert "names no package" in refusal({"profiles/x/packages": ""}, include_system=True)


def test_packages_without_profile_set_are_refused_or_warned_about() -> None:
    write(
        {"gentoo/profiles/y/packages": "x/one\n", "profiles/x/parent": "gentoo:y\n", "profiles/x/packages": "x/two\n"}
    )
    known = repositories(formats=("portage-2",))
    message = (
        "gentoo/profiles/y/packages:1: Portage does not install this, because profile-formats in "
        "gentoo/metadata/layout.conf lacks profile-set"
    )
    with pytest.raises(ProfileError) as caught:
        read_profile_stack(Path.cwd() / "gentoo/profiles/y", known)
    assert str(caught.value) == message
    assert read_profile_stack(Path.cwd() / "profiles/x", known).warnings == (message,)


def test_a_path_in_another_repository_needs_the_format() -> None:
    write({"gentoo/profiles/y/parent": "mine:x\n", "profiles/x/packages": "x/one\n"})
    with pytest.raises(ProfileError, match=r"needs `profile-formats = portage-2` in gentoo/metadata/layout\.conf"):
        read_profile_stack(Path.cwd() / "gentoo/profiles/y", repositories(formats=("portage-1",)))


def test_a_deprecated_parent_is_a_warning() -> None:
    files = GENTOO | ONE | {"profiles/x/parent": "gentoo:hardened/linux/musl/amd64\n"}
    files["gentoo/profiles/hardened/linux/musl/amd64/deprecated"] = "default/linux/amd64/23.0/musl\nwhy\n"
    files["gentoo/profiles/base/deprecated"] = "not of interest: inherited within its repository\n"
    assert read(files).warnings == (
        "profile gentoo/profiles/hardened/linux/musl/amd64 is deprecated; use default/linux/amd64/23.0/musl",
    )


def test_too_many_parents_are_refused() -> None:
    files = {f"profiles/{n}/parent": f"../{n + 1}\n../{n + 1}\n" for n in range(30)}
    assert (
        refusal(files | {"profiles/30/packages": "x/one\n"}, "profiles/0") == "profiles/0: inherits 500 folders or more"
    )
    files = {f"profiles/{n}/parent": f"../{n + 1}\n" for n in range(600)}
    assert (
        refusal(files | {"profiles/600/packages": "x/one\n"}, "profiles/0")
        == "profiles/0: inherits 500 folders or more"
    )


def test_a_profile_is_found_by_its_repository() -> None:
    write(GENTOO)
    known = repositories()
    folder = Path.cwd() / "gentoo/profiles/base"
    assert find_profile("gentoo:base", known) == find_profile("g:base", known) == folder
    with pytest.raises(ProfileError) as caught:
        find_profile("gentoo:bass", known)
    assert (
        str(caught.value) == "build.profile = gentoo:bass: there is no profile gentoo:bass; did you mean gentoo:base?"
    )
    with pytest.raises(ProfileError, match=r"lists no repository 'nowhere'; there are: gentoo, g, mine$"):
        find_profile("nowhere:base", known)


def test_the_files_for_all_images_are_checked_too() -> None:
    assert refusal(ONE | {"profiles/package.mask": "x/two\nx-three\n"}) == (
        "profiles/package.mask:2: 'x-three' is no package atom: expected category/package"
    )


@pytest.mark.parametrize("name", ["package.use", "package.mask/one", "use.force", "parent"])
def test_a_link_to_nothing_is_refused(name: str) -> None:
    write(ONE)
    link = Path.cwd() / "profiles/x" / name
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to("nowhere")
    assert refusal({}) == f"profiles/x/{name}: a link to nowhere, which is not there"


def test_a_profile_must_be_there() -> None:
    with pytest.raises(ProfileError, match=r"^profiles/z: there is no such profile folder$"):
        read_profile_stack(Path.cwd() / "profiles/z", repositories())


def test_our_own_images_are_good() -> None:
    from quern.portage.repository import overlay_repository, read_repository

    checkout = Path(__file__).parent.parent
    starter = read_repository(checkout / "quern/starter")
    overlay = overlay_repository(checkout / "profiles", Path.cwd() / "overlay", ["starter"])
    for folder in (checkout / "profiles").iterdir():
        if folder.is_dir():
            found = read_profile_stack(folder, [starter, overlay])
            assert found.packages
            assert found.warnings == ()
            missing = [atom for atom in found.packages if not (starter.location / atom.split(":")[0]).is_dir()]
            assert missing == []
