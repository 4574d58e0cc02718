"""`doit shell:NAME`: a shell where the build of a package failed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from tests.building import Project
from tests.conftest import tool
from tests.containers import TREE
from tests.projects import write
from tests.terminals import typing

pytestmark = pytest.mark.emerge

HEAD = 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${WORKDIR}/sources"\nCOLOUR="dark blue"\n'
BROKEN = """\
src_unpack() { mkdir sources; echo content > sources/file; }
mine() { echo "mine ${COLOUR} $1"; }
src_compile() {
    [[ -e ${T}/phase ]] || { export -p; set +o; shopt; } > "${T}/phase"
    touch made
    die "cannot compile"
}
"""
DOCKER = {"QUERN_DOCKER_IMAGE": "absent:1", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
MENDED = "src_unpack() { mkdir sources; }\nsrc_install() { ls -A > names; insinto /; doins names; }\n"


def ebuild(project: Project, text: str) -> None:
    """Write the one package."""
    write(project.folder, {"tree/app-misc/one/one-1.ebuild": HEAD + text})


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose one package fails in its compile phase; to be looked at only."""
    project = made(tmp_path_factory.mktemp("failed") / "project", BROKEN)
    output = project.doit("packages:one", status=1)
    (log,) = (project.folder / "build/one/logs/packages").glob("*one-1*.log")
    assert output.split("packages:one\n")[-1].rstrip().splitlines() == [
        "app-misc/one-1 failed in its compile phase",
        "  cannot compile",
        f"log: {log}",
        "shell: doit shell:one",
    ]
    return project


def made(folder: Path, text: str) -> Project:
    tool("scanelf", "pax-utils")
    project = Project(write(folder, TREE))
    ebuild(project, text)
    return project


def answer(project: Project, command: str, status: int = 0) -> list[str]:
    """What a command in the shell prints."""
    return project.doit("shell:one", f"--command={command}", status=status).split(".  shell:one\n")[1].splitlines()


# how a phase talks to the emerge that has started it, and where it was before
OF_EMERGE = "EBUILD_MASTER_PID OLDPWD TERM PORTAGE_(BUILD_(USER|GROUP)|EBUILD_EXIT_FD|INTERNAL_CALLER|IPC_.*|LOG_FILE)"


def compared(script: str, but_for: str = OF_EMERGE) -> str:
    """A command that shows in what it differs from the failed phase, which has written to ${T}/phase."""
    names = but_for.replace(" ", "|")
    own = f"grep -Ev '^(declare -[a-z]+ )?({names})='"
    return f'{{ {script}; }} > "${{T}}/ours"; diff <({own} "${{T}}/phase" | sort) <({own} "${{T}}/ours" | sort)'


def test_the_environment_is_that_of_the_phase(failed: Project) -> None:
    """Exported variables and bash's options; made by Portage, not by us."""
    assert answer(failed, compared("export -p; set +o; shopt")) == []


def test_its_folder_functions_and_status(failed: Project) -> None:
    (own,) = (failed.folder / "build/one/.packages.new/own").iterdir()
    sources = f"{own if obstacle() else '/run/quern'}/tmp/portage/app-misc/one-1/work/sources"
    assert answer(failed, "pwd; ls; mine here; exit 7", status=7) == [sources, "file", "made", "mine dark blue here"]
    assert answer(failed, "type -t emake default src_install default_src_install") == ["file", *["function"] * 3]
    said = answer(failed, "(src_compile); echo still here")
    assert " *   cannot compile" in said
    assert said[-1] == "still here"
    assert "cannot compile" in "\n".join(answer(failed, "src_compile", status=1))
    failed.doit("-n", "2", "shell:one", "-c", "exit 7", status=7)


def test_it_is_confined_like_a_build(failed: Project) -> None:
    """And more: nothing can be written to but what the next run removes."""
    if reason := obstacle():
        pytest.skip(reason)
    places = [f"/run/quern/{name}" for name in ("build", "host", "host/home", "build/made", "logs", "inputs")]
    script = "; ".join(f"touch {place}/x" for place in places)
    assert len([line for line in answer(failed, script, status=1) if "Read-only file system" in line]) == len(places)
    answer(failed, f"touch {Path.home()}/x", status=1)
    assert answer(failed, "grep -c : /proc/self/net/dev; touch ${T}/x ${ROOT}/x; echo $?") == ["1", "0"]


def test_questions_without_a_terminal_or_a_failure(failed: Project, tmp_path: Path) -> None:
    output = failed.doit("shell:one", status=1)
    assert "there is no terminal for a shell; for one command: doit shell:one --command='COMMAND'" in output
    output = failed.doit("shell:one", "-c", "true", status=1, variables={"QUERN_BUILD_DRIVER": "docker"} | DOCKER)
    assert "app-misc/one-1 failed with build.driver = raw: QUERN_BUILD_DRIVER=raw doit shell:one" in output
    project = made(tmp_path / "project", MENDED)
    assert "no package of one has failed, or nothing is left of it" in project.doit("shell:one", status=1)
    assert not (project.folder / "build").exists()
    assert "-c ARG, --command=ARG" in project.doit("help", "shell:one")


def test_a_terminal(failed: Project) -> None:
    """Keys reach the shell, Ctrl-C what it runs; its size is the user's."""
    with typing(failed, "shell:one") as terminal:
        terminal.expect("`(src_compile)` runs it again")
        terminal.expect("# ")
        terminal.send("mine there\n")
        terminal.expect("mine dark blue there")
        terminal.send("echo columns $COLUMNS; test -t 0; echo terminal $?\n")
        terminal.expect("columns 101")
        terminal.expect("terminal 0")
        terminal.send("sh -c 'echo begun; exec sleep 1000'; echo not $((1 + 1))\n")  # said by what Ctrl-C is to reach
        terminal.expect("\nbegun")
        terminal.send("\x03")
        terminal.expect("# ")
        terminal.send("exit 3\n")
        assert terminal.status() == 0
    assert "not 2" not in terminal.shown


def test_nothing_done_there_reaches_the_next_build(tmp_path: Path) -> None:
    project = made(tmp_path / "project", BROKEN)
    project.doit("packages:one", status=1)
    answer(project, 'touch x "${ROOT}/x" "${D%/*}/x"; echo "COLOUR=red; touch x" >> "${T}/environment"')
    ebuild(project, MENDED)
    project.doit("root:one")
    root = project.folder / "build/one/root/image"
    assert (root / "names").read_text() == "names\n"
    assert list(root.rglob("x")) == []
    assert not (project.folder / "build/one/.packages.new").exists()
    assert "no package of one has failed" in project.doit("shell:one", status=1)


def test_what_is_gone_is_said_and_clean_removes_the_rest(tmp_path: Path) -> None:
    project = made(tmp_path / "project", BROKEN)
    project.doit("packages:one", status=1)
    (project.folder / "tree/app-misc/one/one-1.ebuild").unlink()
    assert answer(project, "echo ${PF}") == ["one-1"]  # the failed build has its own copy
    for path in project.folder.glob("build/one/.packages.new/**/one-1.ebuild"):
        path.unlink()
    assert answer(project, "true", status=1) == ["the ebuild of app-misc/one-1 is gone: build again"]
    (own,) = (project.folder / "build/one/.packages.new/own").iterdir()
    shutil.rmtree(own / "tmp/portage")
    assert answer(project, "true", status=1)[0].endswith("/app-misc/one-1 is not there any more: build again")
    project.doit("clean", "-c", "image:one")
    assert not (project.folder / "build/one").exists()
    assert "no package of one has failed" in project.doit("shell:one", "-c", "true", status=1)


@pytest.mark.parametrize("phase", ["pkg_setup", "src_unpack", "pkg_postinst"])
def test_every_phase(tmp_path: Path, phase: str) -> None:
    project = made(tmp_path / "project", f'src_unpack() {{ mkdir sources; }}\n{phase}() {{ die "on purpose"; }}\n')
    project.doit("root:one" if phase == "pkg_postinst" else "packages:one", status=1)
    script = f"echo ${{EBUILD_PHASE}}; type -t {phase}; ({phase}) 2>&1 | tail -n +2 | head -n 1"
    assert answer(project, script) == [phase[4:], "function", " *   on purpose"]


def test_what_was_built_to_build_with(tmp_path: Path) -> None:
    """Its folder is that of the failed run, whatever Portage's host side was told since, by a question say."""
    project = made(tmp_path / "project", f'BDEPEND="app-misc/tool"\n{MENDED}')
    write(project.folder, {"tree/app-misc/tool/tool-1.ebuild": HEAD + BROKEN})
    assert project.doit("packages:one", status=1).rstrip().endswith("\nshell: doit shell:one")
    settings = project.folder / "build/one/host/etc/portage/make.conf"
    settings.write_text(settings.read_text().replace("/.packages.new/", "/.resolve.new/"))
    assert answer(project, compared("export -p; set +o; shopt")) == []
    assert answer(project, "ls") == ["file", "made"]


def test_a_binary_package_that_is_installed(tmp_path: Path) -> None:
    """In another step, and what was built before is not lost."""
    script = "export -p > ${T}/phase; [[ ${MERGE_TYPE} != binary ]] || die"
    project = made(tmp_path / "project", f"{MENDED}\npkg_preinst() {{ {script}; }}\n")
    assert project.doit("root:one", status=1).rstrip().endswith("\nshell: doit shell:one")
    of_binary = f"{OF_EMERGE} EBUILD PORTAGE_BINPKG_FILE PORTAGE_ECLASS_LOCATIONS PWD REPLACING_VERSIONS SANDBOX_ON"
    assert answer(project, compared("export -p", of_binary)) == []
