"""A build sees of the repositories what its package is built from, as copies that have nothing of their originals."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import sleep

import pytest

from quern.drivers.confinement import obstacle
from quern.errors import BuildError
from quern.portage.emerge import PACKAGE_EPOCH
from quern.portage.keys import tree_digest
from quern.portage.repository import Repository
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from quern.steps.emerging import RECIPE
from quern.steps.recipe import copied_manifest, copied_parents, copy_tree, lay_out_shared, settle
from quern.steps.resolution import resolve
from quern.worker.gpkg import opened
from tests.conftest import tool
from tests.projects import Said, run, source_build, write
from tests.test_emerging import Lab, ebuild

ROOT = '"${ED}/usr/share/lab"'
WAIT = "while [[ ! -e ${PORTAGE_LOG_FILE%/*}/go ]]; do sleep 0.1; done; "
COPY = 'cp -a "${FILESDIR}"/. "${ED}"/usr/share/lab/ || die'


def copied(source: Path, target: Path) -> Path:
    target.mkdir()
    copy_tree(source, target)
    settle(target)
    return target


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of files, with one outside of it."""
    write(tmp_path / "tree/other", {"file": "outside\n", "folder/file": "outside too\n"})
    return write(tmp_path / "tree/files", {"a": "1\n", "run": "2\n", "b/c": "3\n"})


def test_copies_are_normalised(files: Path, tmp_path: Path) -> None:
    (files / "a").chmod(0o640)
    (files / "run").chmod(0o4710)
    (files / "b").chmod(0o2700)
    os.utime(files / "a", (1, 1))
    os.setxattr(files / "a", "user.note", b"mine")
    former = os.umask(0o077)
    try:
        copy = copied(files, tmp_path / "copy")
    finally:
        os.umask(former)
    status = {path.name: path.lstat() for path in (copy, *copy.rglob("*"))}
    modes = {name: stat.S_IMODE(each.st_mode) for name, each in status.items()}
    assert modes == {"copy": 0o755, "a": 0o644, "run": 0o755, "b": 0o755, "c": 0o644}
    assert {each.st_mtime_ns for each in status.values()} == {PACKAGE_EPOCH * 10**9}
    assert {each.st_uid for each in status.values()} == {os.geteuid()}
    assert os.listxattr(copy / "a") == []
    assert {path.stat().st_nlink for path in copy.rglob("*") if path.is_file()} == {1}


LINKS = {
    "inside": ("b/c", "b/c"),
    "upwards": ("b/../a", "b/../a"),
    "folder": ("b", "b"),
    "itself": (".", "."),
    "dangling": ("nowhere", "nowhere"),
    "b/up": ("../a", "../a"),
    "out": ("../other/file", None),
    "out-folder": ("../other", None),
    "b/out": ("../../other/folder", None),
    "there-and-back": ("../files/a", None),
    "above": ("..", None),
    "b/absolute": ("/etc/hostname", None),
    "dangling-out": ("../nowhere", "absent"),
}


@pytest.mark.parametrize("name", LINKS)
def test_the_key_counts_what_the_copy_has(files: Path, tmp_path: Path, name: str) -> None:
    """A link that leads inside stays one; any other is what it leads to."""
    text, kept = LINKS[name]
    (files / name).symlink_to(text)
    copy = copied(files, tmp_path / "copy")
    assert tree_digest(copy, contained=True) == tree_digest(files, contained=True)
    made = copy / name
    if kept == "absent":
        assert not os.path.lexists(made)
    elif kept is None:
        assert not made.is_symlink()
        assert made.is_dir() == (files / name).is_dir()
    else:
        assert os.readlink(made) == kept


def test_what_a_link_out_leads_to_counts(files: Path, tmp_path: Path) -> None:
    (files / "out").symlink_to("../other")
    before = tree_digest(files, contained=True)
    (tmp_path / "tree/other/file").write_text("changed\n")
    assert tree_digest(files, contained=True) != before


def test_manifest_of_what_is_copied(tmp_path: Path) -> None:
    lines = ["AUX x.patch 1 SHA512 1", "DIST b.tar 2 SHA512 2", "DIST a.tar 3 SHA512 3", "EBUILD a-1.ebuild 4 SHA512 4"]
    others = ["DIST old.tar 5 SHA512 5", "EBUILD a-0.ebuild 6 SHA512 6", "MISC metadata.xml 7 SHA512 7", "", "-----"]
    manifest = tmp_path / "Manifest"
    manifest.write_text("\n".join(sorted([*lines, *others], reverse=True)))
    text = copied_manifest(manifest, "a-1.ebuild", ["a.tar", "b.tar"]).decode()
    assert text.splitlines() == sorted(lines)
    assert copied_manifest(tmp_path / "absent", "a-1.ebuild", ["a.tar"]) == b""


def test_parents_in_other_repositories() -> None:
    trees = [
        Repository(name, Path("/x", folder), Path("/x", folder, "profiles"))
        for name, folder in (("a", "one"), ("b", "two"))
    ]
    text = (
        b"# ../../../two\n../up\nb:base\n../../../two/profiles/base\n/x/two/profiles/base\n/elsewhere\n../../../../y\n"
    )
    now = copied_parents(text, Path("/x/one/profiles/p"), trees[0], trees).decode().splitlines()
    assert now == [
        "# ../../../two", "../up", "b:base", "../../../b/profiles/base", "../../../b/profiles/base", "/elsewhere", "/y",
    ]  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    former = os.umask(0o022)
    yield Lab(tmp_path)
    os.umask(former)


def image(lab: Lab, *packages: str, **ebuilds: str) -> None:
    """Have the image consist of `packages`, of which `ebuilds` are written."""
    write(lab.tree, {"profiles/image/packages": "".join(f"lab/{name}\n" for name in packages)})
    write(lab.tree, {f"lab/{name}/{name}-1.ebuild": text for name, text in ebuilds.items()})


def build_packages(lab: Lab, said: Said | None = None) -> None:
    """Run the steps up to the packages."""
    for step in steps_of(lab.image)[:2]:
        run_step(step, run(said))


def share(lab: Lab, package: str) -> dict[str, str]:
    """The content of the files below usr/share/lab in a package of the image, by name."""
    (file,) = (lab.folder / "work/packages/view").rglob(f"{package}-1*.gpkg.tar")
    found = {}
    with opened(str(file)) as gpkg:
        for member in gpkg.image:
            if member.isfile() and "/share/lab/" in member.name:
                stream = gpkg.image.extractfile(member)
                assert stream is not None
                found[Path(member.name).name] = stream.read().decode()
    return found


@pytest.mark.emerge
@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_nothing_of_the_clone_is_in_the_package(lab: Lab, umask: int) -> None:
    """Neither its owners, modes, times and attributes, nor the umask of who builds."""
    image(lab, "copies", copies=ebuild(body=COPY))
    folder = write(lab.tree / "lab/copies/files", {"text": "1\n", "script": "#!/bin/sh\n", "below/more": "2\n"})
    (folder / "script").chmod(0o755)
    build_packages(lab)
    before = lab.packages()

    for folder in (lab.folder / "work", lab.image.binpkgs):
        shutil.rmtree(folder)
    os.umask(umask)
    for number, path in enumerate(sorted([lab.tree, *lab.tree.rglob("*")], reverse=True)):
        if path.is_file():
            os.setxattr(path, "user.note", b"mine")
            path.chmod(0o4711 if path.stat().st_mode & 0o111 else 0o664)
        else:
            path.chmod(0o2775)
        if os.geteuid() == 0:
            os.chown(path, 1234, 2345)
        os.utime(path, (10**9 + number, 10**9 + number))
    build_packages(lab)
    assert lab.packages() == before


@pytest.mark.emerge
def test_files_of_another_package_are_not_there(lab: Lab) -> None:
    image(
        lab,
        "reads",
        other=ebuild(),
        reads=ebuild(body='cat "${FILESDIR}/../../other/files/text" || die "no such luck"'),
    )
    write(lab.tree, {"lab/other/files/text": "1\n", "lab/reads/files/own": "2\n"})
    with pytest.raises(BuildError, match=r"(?s)lab/reads-1 failed in its install phase.*no such luck"):
        build_packages(lab)


@pytest.mark.emerge
def test_what_a_build_sees(lab: Lab) -> None:
    """One ebuild, its eclasses, files/ and the profile: read-only, and nothing of the repository itself."""
    if obstacle():
        pytest.skip(obstacle())
    body = f"""
	(cd "$(readlink -f "${{FILESDIR}}")/../../.." && find . -type f) | sort > {ROOT}/seen || die
	[[ -e {lab.tree} ]] && echo {lab.tree} >> {ROOT}/seen
	touch "${{FILESDIR}}/more" 2>/dev/null && echo touched >> {ROOT}/seen
	inherited >> {ROOT}/seen || die
"""
    image(lab, "sees", sees=ebuild("inherit used", body))
    eclasses = {f"eclass/{name}.eclass": "inherited() { echo inherited; }\n" for name in ("used", "unused")}
    write(lab.tree, {**eclasses, "lab/sees/files/own": "2\n", "lab/sees/sees-0.ebuild": ebuild()})
    write(lab.tree, {"profiles/other/packages": "lab/base\n", "lab/sees/metadata.xml": "<x/>\n"})
    write(
        lab.tree, {"profiles/image/profile.bashrc": "source ${BASH_SOURCE%/*}/lib.sh\n", "profiles/image/lib.sh": ":\n"}
    )
    build_packages(lab)
    assert share(lab, "sees")["seen"].split() == [
        "./eclass/used.eclass",
        "./lab/sees/files/own",
        "./lab/sees/sees-1.ebuild",
        "./metadata/layout.conf",
        "./profiles/arch.list",
        "./profiles/categories",
        "./profiles/image/eapi",
        "./profiles/image/lib.sh",
        "./profiles/image/make.defaults",
        "./profiles/image/packages",
        "./profiles/image/profile.bashrc",
        "./profiles/repo_name",
        "inherited",
    ]


@pytest.mark.emerge
def test_bashrcs_and_checks_are_sourced(lab: Lab) -> None:
    """Those of the profile, those for one package, and the repository's for what was installed (portage(5))."""
    image(lab, "top")
    note = 'echo {name} >> "${{ED}}/usr/share/lab/${{PN}}-notes"'
    hook = f"post_src_install() {{ {note.format(name='bashrc')}; [[ ${{PN}} != top ]] || hooked; }}\n"
    write(lab.tree, {"profiles/image/profile.bashrc": hook})
    write(lab.tree, {"profiles/image/package.bashrc": "lab/top top.sh\n"})
    write(lab.tree, {"profiles/image/bashrc/top.sh": f"hooked() {{ {note.format(name='package')}; }}\n"})
    write(lab.tree, {"metadata/install-qa-check.d/60note": f"{note.format(name='check')}\n"})
    write(
        lab.tree,
        {
            "metadata/layout.conf": "masters =\nthin-manifests = true\n"
            "profile-formats = portage-2 profile-set profile-bashrcs\n"
        },
    )
    build_packages(lab)
    assert share(lab, "base")["base-notes"].split() == ["bashrc", "check"]
    assert share(lab, "top")["top-notes"].split() == ["bashrc", "package", "check"]


class Editing(Said):
    """Edits a file once a line that begins so is said."""

    def __init__(self, start: str, file: Path, text: str) -> None:
        super().__init__()
        self.start, self.file, self.text = start, file, text

    def __call__(self, line: str) -> None:
        super().__call__(line)
        if line.startswith(self.start):
            self.file.write_text(self.text)


@pytest.mark.emerge
def test_an_edit_during_the_build_does_not_enter(lab: Lab) -> None:
    """The package is that of its key; the next run builds it anew."""
    image(lab, "first", first=ebuild(body=WAIT + COPY))
    text = write(lab.tree, {"lab/first/files/text": "before\n"}) / "lab/first/files/text"
    logs = lab.image.work / "logs/packages"

    def edit() -> None:
        while not [*logs.glob("lab:first-1:*.log")]:
            sleep(0.1)
        text.write_text("after\n")
        (logs / "go").touch()

    for found in ("before\n", "after\n"):
        shutil.rmtree(logs, ignore_errors=True)
        editing = Thread(target=edit, daemon=True)
        editing.start()
        build_packages(lab)
        editing.join()
        assert text.read_text() == "after\n"
        assert share(lab, "first")["text"] == found


@pytest.mark.emerge
def test_an_edit_before_the_build_is_an_error(lab: Lab) -> None:
    """Of what was planned, and is not built yet."""
    image(lab, "first", "second", first=ebuild(), second=ebuild(body=COPY))
    text = write(lab.tree, {"lab/second/files/text": "before\n"}) / "lab/second/files/text"
    with pytest.raises(BuildError, match="lab/second-1: its ebuild, an eclass or another file of it was changed since"):
        build_packages(lab, Editing(">>> Emerging", text, "after\n"))
    build_packages(lab)
    assert share(lab, "second")["text"] == "after\n"


@pytest.mark.emerge
def test_an_edit_of_the_profile_before_the_build_is_an_error(lab: Lab) -> None:
    """Of what all builds see of the repositories."""
    build = source_build(lab.image)
    plan, seen, _ = resolve(build, build.setup.sets())
    lay_out_shared(build, plan, seen)
    shutil.rmtree(build.scratch / RECIPE)
    with (lab.tree / "profiles/image/make.defaults").open("a") as file:
        file.write('LATER="1"\n')
    with pytest.raises(BuildError, match=r"make\.defaults was changed since the packages were planned"):
        lay_out_shared(build, plan, seen)


@pytest.mark.emerge
def test_profiles_and_eclasses_of_another_repository(lab: Lab) -> None:
    """A relative path from profile to profile, and an eclass of a master's that another master replaces."""
    layout = "thin-manifests = true\nprofile-formats = portage-2 profile-set\n"
    write(lab.folder, {
        "over/metadata/layout.conf": f"masters = lab mid\n{layout}",
        "over/profiles/repo_name": "over\n",
        "over/profiles/categories": "lab\n",
        "over/profiles/thin/parent": "../../../tree/profiles/image\n",
        "over/profiles/thin/packages": "-lab/top\nlab/uses\n",
        "over/lab/uses/uses-1.ebuild": ebuild("inherit which", f"which > {ROOT}/which"),
        "mid/metadata/layout.conf": f"masters = lab\n{layout}",
        "mid/profiles/repo_name": "mid\n",
        "mid/eclass/which.eclass": "which() { echo mid; }\n",
        "tree/eclass/which.eclass": "which() { echo lab; }\n",
        "lab.conf": "[portage]\nrepositories = ./tree, ./mid, ./over\n[build]\nprofile = over:thin\n",
    })  # fmt: skip
    build_packages(lab)
    assert share(lab, "uses")["which"] == "mid\n"


@pytest.mark.emerge
@pytest.mark.parametrize("right", [True, False])
def test_full_manifests(lab: Lab, right: bool) -> None:
    """Portage still checks files/ where Manifests name these, though they name more than the build has."""
    image(lab, "copies", copies=ebuild(body=COPY))
    write(lab.tree, {"metadata/layout.conf": "masters =\nprofile-formats = portage-2 profile-set\n"})
    folder = lab.tree / "lab/copies"
    write(folder, {"files/text": "1\n", "copies-0.ebuild": ebuild(), "metadata.xml": "<x/>\n"})
    kinds = {"copies-0.ebuild": "EBUILD", "copies-1.ebuild": "EBUILD", "metadata.xml": "MISC", "files/text": "AUX"}
    rows = [f"{kind} {Path(name).name} {_digests((folder / name).read_bytes())}\n" for name, kind in kinds.items()]
    (folder / "Manifest").write_text("".join(rows))
    if right:
        build_packages(lab)
        assert share(lab, "copies")["text"] == "1\n"
    else:
        (folder / "files/text").write_text("2\n")
        with pytest.raises(BuildError, match="text"):
            build_packages(lab)


def _digests(content: bytes) -> str:
    digests = hashlib.blake2b(content).hexdigest(), hashlib.sha512(content).hexdigest()
    return f"{len(content)} BLAKE2B {digests[0]} SHA512 {digests[1]}"
