"""The names of folders inside a build: the same wherever the project lies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from quern.drivers.base import Command, Reach, Shown
from quern.drivers.confinement import obstacle
from quern.drivers.raw import RawDriver
from quern.errors import BuildError
from quern.portage.keys import UNCONFINED
from quern.questions.shell import answer
from quern.steps import names
from quern.steps.base import Run, run_step
from quern.steps.chain import steps_of
from quern.steps.names import Names
from tests.conftest import tool
from tests.projects import Said, write
from tests.test_emerging import Lab, ebuild

SHARE = '"${ED}/usr/share/lab"'
PATHS = "${ROOT} ${SYSROOT} ${PORTAGE_OVERRIDE_EPREFIX} ${PORTAGE_TMPDIR} ${DISTDIR} ${FILESDIR} ${PKGDIR} ${PWD} ${D}"
CONFINED = pytest.mark.skipif(bool(obstacle()), reason="builds cannot be confined here")


def lab_at(folder: Path, store: Path, confine: str = "on", **ebuilds: str) -> Lab:
    """An image in a folder of its own, of the package `top`, with binary packages in `store`."""
    folder.mkdir(parents=True)
    lab = Lab(folder)
    options = f"[portage]\nrepositories = ./tree\nbinpkg = {store}\n"
    write(folder, {"lab.conf": f"{options}[build]\nprofile = lab:image\nconfine = {confine}\n"})
    write(lab.tree, {f"lab/{name}/{name}-1.ebuild": text for name, text in ebuilds.items()})
    return lab


def built(lab: Lab, *steps: str, confine: str = "on") -> list[str]:
    """Build; give the packages that were built, sorted."""
    said = Said()
    where = Run(RawDriver(confine=confine, say=said), said)
    for step in steps_of(lab.image):
        if step.name in ("portage", "packages", *steps):
            run_step(step, where)
    return sorted(match[1] for line in said.lines if (match := re.search(r">>> Emerging \(.*\) (\S+?)::", line)))


def test_the_innermost_folder_gives_the_name() -> None:
    called = Names(((Path("/p/build"), "/run/quern/build"), (Path("/p/build/scratch/tmp"), "/run/quern/tmp")))
    assert called.inside(Path("/p/build/image/etc")) == "/run/quern/build/image/etc"
    assert called.inside(Path("/p/build/scratch/tmp/x")) == "/run/quern/tmp/x"
    assert called.inside(Path("/p/built")) == "/p/built"
    assert Names().inside(Path("/p/build")) == "/p/build"
    assert names.from_json(json.loads(json.dumps(called.as_json()))) == called


def test_what_was_printed_is_called_as_outside() -> None:
    called = Names(((Path("/p/build"), "/run/quern/build"), (Path("/p/logs"), "/run/quern/logs")))
    text = "'/run/quern/logs/a.log' for /run/quern/build/, D=/x/run/quern/build, /run/quern/build-2 /run/quern/build.d"
    assert (
        called.outside(text)
        == "'/p/logs/a.log' for /p/build/, D=/x/run/quern/build, /run/quern/build-2 /run/quern/build.d"
    )


def test_what_may_be_written_to() -> None:
    """A folder in which one may write stays open where it has another name; one inside another is opened alone."""
    build, host, scratch = Path("/p/own"), Path("/p/own/host"), Path("/p/scratch")
    called = Names(((build, "/q/build"), (host, "/q/host"), (scratch, "/q/scratch")), (Path("/p"),))
    assert called.reach([build]) == Reach(
        (),
        [],
        [Shown(build, "/q/build", True), Shown(host, "/q/host", True), Shown(scratch, "/q/scratch")],
        (Path("/p"),),
    )
    inner = [*((here, there, False) for here, there in called.folders), (build / "image", "/q/build/image", True)]
    assert called.reach([build / "image"]).shown == inner
    assert Names().reach([build], [host]) == Reach([build], [host])


@CONFINED
def test_folders_under_another_name(tmp_path: Path) -> None:
    """They are found there alone; what is read-only stays so, and a hidden folder with something used in it stays."""
    own, other, used = tmp_path / "work/own", tmp_path / "other", Path.cwd()
    write(tmp_path, {"work/own/file": "own\n", "other/file": "other\n", "used/bin/file": "used\n"})
    shown = [Shown(own, "/run/quern/own", True), Shown(other, "/run/quern/deep/er")]
    reach = Reach(
        [], [tmp_path / "used/bin"], shown, [tmp_path / "work", other, tmp_path / "used", used, Path("/usr/share")]
    )
    script = f"""
        cat /run/quern/own/file /run/quern/deep/er/file; pwd; echo new > made
        touch /run/quern/deep/er/x 2>/dev/null || echo read-only
        ls {own} {other} /usr/share 2>/dev/null | grep -v :; ls {used} | grep -x quern; cat {tmp_path}/used/bin/file
    """
    lines: list[str] = []
    command = Command(
        ["/bin/sh", "-c", script], {"PATH": "/usr/bin:/bin"}, Path("/run/quern/own"), tmp_path / "log", reach
    )
    assert RawDriver(confine="on").run(command, lines.append) == 0
    assert [line.strip() for line in lines] == ["own", "other", "/run/quern/own", "read-only", "quern", "used"]
    assert (own / "made").read_text() == "new\n"


@CONFINED
@pytest.mark.emerge
def test_one_store_serves_two_folders(tmp_path: Path) -> None:
    """Packages that say where they were built are the same in both: the second builds none, or makes the same files."""
    tool("scanelf", "pax-utils")
    generator = f"printf '#!/bin/sh\\necho generated\\n' > gen; dobin gen; echo {PATHS} > {SHARE}/gen"
    ebuilds = {
        "gen": ebuild(body=generator),
        "top": ebuild('BDEPEND="lab/gen"\nDEPEND="lab/base"', f"{{ gen; type -P gen; echo {PATHS}; }} > {SHARE}/paths"),
    }
    first = lab_at(tmp_path / "one", tmp_path / "store", **ebuilds)
    assert built(first, "root") == ["lab/base-1", "lab/gen-1", "lab/top-1"]
    second = lab_at(tmp_path / "another/folder", tmp_path / "store", **ebuilds)
    assert built(second, "root") == []
    third = lab_at(tmp_path / "a/third", tmp_path / "other", **ebuilds)
    assert built(third, "root") == ["lab/base-1", "lab/gen-1", "lab/top-1"]
    stores = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.gpkg.tar")}
        for name in ("store", "other")
    ]
    assert len(stores[0]) == 3
    assert stores[0] == stores[1]
    assert (third.folder / "work/root/image/usr/share/lab/paths").read_text().split() == [
        "generated", "/run/quern/host/usr/bin/gen", "/run/quern/build/image", "/run/quern/build/image",
        "/run/quern/host", "/run/quern/tmp",
        "/run/quern/tmp/portage/lab/top-1/distdir", "/run/quern/tmp/portage/lab/top-1/files",
        "/run/quern/build/made", "/run/quern/tmp/portage/lab/top-1/work", "/run/quern/tmp/portage/lab/top-1/image",
    ]  # fmt: skip


@CONFINED
@pytest.mark.emerge
def test_the_folders_are_not_where_they_are_outside(tmp_path: Path) -> None:
    """Neither the place of the build, nor the repository, nor the store: to phases in the root neither."""
    tool("scanelf", "pax-utils")
    looks = f"ls -d {tmp_path}/one/work/* {tmp_path}/one/tree/* {tmp_path}/store/*"
    body = f"{{ {looks} 2>/dev/null; true; }} > {SHARE}/seen"
    phase = (
        f'pkg_postinst() {{\n\t{{ {looks} 2>/dev/null; echo "${{ROOT}}"; }} > "${{EROOT}}/usr/share/lab/later"\n}}\n'
    )
    lab = lab_at(tmp_path / "one", tmp_path / "store", top=ebuild('DEPEND="lab/base"', body) + phase)
    built(lab, "root")
    assert lab.installed()["seen"] == ""
    assert lab.installed()["later"] == "/run/quern/build/image"


@CONFINED
@pytest.mark.emerge
def test_a_failure_names_the_paths_of_the_user(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And the shell opens with the names of the build."""
    tool("scanelf", "pax-utils")
    body = 'pwd > "${T}/where"; die "cannot use ${ROOT}/etc/lab.conf"'
    lab = lab_at(tmp_path / "one", tmp_path / "store", top=ebuild(body=body))
    with pytest.raises(BuildError) as caught:
        built(lab)
    (place,) = (lab.folder / "work/.packages.new/own").iterdir()
    (log,) = (lab.folder / "work/logs/packages").glob("lab:top-1*.log")
    assert str(caught.value).splitlines() == [
        "lab/top-1 failed in its install phase",
        f"  cannot use {place}/image/etc/lab.conf",
        f"log: {log}",
    ]
    said = Said()
    script = 'pwd; cat "${T}/where"; echo "${ROOT} ${DISTDIR}"; touch "${ROOT}/x"; '
    script += f"ls {lab.tree}/* {place} 2>/dev/null"
    with pytest.raises(SystemExit):
        answer(lab.image, Run(RawDriver(confine="on", say=said), said), command=script)
    work = "/run/quern/tmp/portage/lab/top-1/work"
    assert capfd.readouterr().out.splitlines()[-3:] == [
        work, work, "/run/quern/build/image /run/quern/tmp/portage/lab/top-1/distdir"
    ]  # fmt: skip
    assert (place / "image/x").exists()


@pytest.mark.emerge
def test_unconfined_packages_are_for_themselves(tmp_path: Path) -> None:
    """They may say where they were built: no other folder takes them, nor confined builds."""
    tool("scanelf", "pax-utils")
    ebuilds = {"top": ebuild('BDEPEND="lab/gen"'), "gen": ebuild(body="echo > gen; dobin gen")}
    every = ["lab/gen-1", "lab/top-1"]
    open_one = lab_at(tmp_path / "one", tmp_path / "store", "off", **ebuilds)
    assert built(open_one, confine="off") == every
    assert UNCONFINED in (open_one.folder / "work/packages/ingredients.json").read_text()
    assert built(lab_at(tmp_path / "two", tmp_path / "store", "off", **ebuilds), confine="off") == every
    if obstacle():
        return
    assert built(lab_at(tmp_path / "three", tmp_path / "store", **ebuilds)) == every
    conf = open_one.folder / "lab.conf"
    conf.write_text(conf.read_text().replace("confine = off", "confine = on"))
    assert built(open_one) == []
    assert "unconfined" not in (open_one.folder / "work/packages/ingredients.json").read_text()
