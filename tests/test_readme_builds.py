"""The commands and examples of README.rst and the manual that build something, as they stand there."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.building import CHECKOUT, Project, built, linked_store, ran
from tests.conftest import tool
from tests.projects import write
from tests.readme import answer, blocks, commands, sections, shape, shell
from tests.test_tasks import TREE

pytestmark = pytest.mark.emerge

IMAGE = "musl-python3"


@pytest.fixture(scope="module")
def base(first: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone in which the first image is built, from packages that are there, and those of no other image."""
    folder = tmp_path_factory.mktemp("readme")
    store = Path(first[0].variables["QUERN_PORTAGE_BINPKG"])
    own = linked_store(store, folder / "binpkgs", without="hello-quern-*")
    copied = first[0].copy(folder / "project")
    project = Project(copied.folder, {**copied.variables, "QUERN_PORTAGE_BINPKG": str(own)})
    assert built(project.doit(f"image:{IMAGE}")) == []
    return project


def test_a_test_that_fails(base: Project) -> None:
    (shown,) = blocks("testing", "Run the tests")
    test = base.folder / f"profiles/{IMAGE}/tests/tls"
    good = test.read_text()
    base.edit(str(test), "urlopen(address)", "urlopen(address, context=trusting)")
    said = answer(shell(base, f"doit test:{IMAGE}", status=1), f"test:{IMAGE}").splitlines()
    said = [line for line in said if not line.startswith(("Testing in ", "TaskFailed"))]
    lines = [".+" if line.strip() == "..." else re.escape(line) for line in shown.splitlines()]
    assert re.fullmatch("\n".join(lines), "\n".join(said).strip(), re.DOTALL), "\n".join(said)
    test.write_text(good)


class Changed(NamedTuple):
    """What was said of a change before it was built, and then."""

    explained: str
    output: str


@pytest.fixture(scope="module")
def changed(base: Project) -> Changed:
    """The first change that README shows, built."""
    (text,) = blocks("README", "Change something")
    change, command = text.strip().rsplit("\n", 1)
    shell(base, change)
    explained = shell(base, f"doit explain:{IMAGE}")
    return Changed(answer(explained, f"explain:{IMAGE}"), shell(base, command))


def test_a_change_is_explained(changed: Changed) -> None:
    assert changed.explained.strip() == blocks("explain", "An answer")[0].strip()


def test_only_what_is_new_or_changed_is_built(base: Project, changed: Changed) -> None:
    assert sorted(built(changed.output)) == ["app-misc/hello-quern-1", "dev-lang/python-3.13.5"]
    assert "/usr/bin/hello-quern" in base.names(IMAGE)


def test_what_is_not_wanted_any_more_leaves_no_trace(base: Project, changed: Changed) -> None:
    work = base.folder / "build" / IMAGE
    assert not [name for name in base.names(IMAGE) if "libreadline" in name]
    assert "sys-libs/readline" not in (work / "packages/packages.lock").read_text()
    for folder in ("packages/view", "root", "strip"):
        assert not list((work / folder).rglob("*libreadline*"))
        assert not list((work / folder).rglob("readline-*"))


def test_the_ledger(base: Project, changed: Changed) -> None:
    ledger = (base.folder / f"build/{IMAGE}/packages/ledger.txt").read_text()
    (shown,) = blocks("explain", "The ledger")
    assert [line for line in shape(shown) if line not in shape(ledger)] == []


def test_the_difference(base: Project, changed: Changed) -> None:
    said = answer(shell(base, f"doit diff:{IMAGE}"), f"diff:{IMAGE}")
    assert shape(said.strip()) == shape(blocks("contents", "Differences")[0])


def test_why_a_file_is_not_in_an_image(base: Project, changed: Changed) -> None:
    """Of an image whose packages are there by now."""
    command, _, shown = blocks("contents", "Why something is in it")[0].strip().removeprefix("$ ").partition("\n")
    assert built(base.doit("strip:hello")) == []
    assert answer(shell(base, command), "why:hello").strip() == shown


def test_documentation_comes_back_without_emerge(base: Project, changed: Changed) -> None:
    """What `doc = on` leaves out was in the root all the time."""
    assert "``doc = off``" in sections("README")["Change something"]
    assert "/usr/share/man/man1/python3.13.1" not in base.names(IMAGE)
    base.edit(f"profiles/{IMAGE}/quern.conf", "doc = on", "doc = off")
    output = base.doit(f"image:{IMAGE}")
    assert ran(output) == ["strip", "tarball", "image"]
    assert "emerge" not in output
    assert "/usr/share/man/man1/python3.13.1" in base.names(IMAGE)
    assert "/usr/include/zlib.h" not in base.names(IMAGE)


def test_taken_back_nothing_is_built(base: Project, changed: Changed) -> None:
    base.edit(f"profiles/{IMAGE}/packages", "app-misc/hello-quern\n", "")
    (base.folder / f"profiles/{IMAGE}/package.use").unlink()
    assert built(base.doit(f"image:{IMAGE}")) == []
    assert not [name for name in base.names(IMAGE) if "hello-quern" in name]


def test_a_lock_that_does_not_hold(first: tuple[Project, str], tmp_path: Path) -> None:
    """What the lock is said to have been is written into it; nothing is built."""
    option, refusal = blocks("lock", "The lock")
    project = first[0].copy(tmp_path / "project")
    for name in ("hello", "musl-busybox"):  # each image has its own, where the environment says `locked`
        shutil.rmtree(project.folder / "profiles" / name)
    with (project.folder / f"profiles/{IMAGE}/quern.conf").open("a") as file:
        file.write(option)
    project.doit(f"lock:{IMAGE}")
    lock = f"profiles/{IMAGE}/packages.lock"
    text = (project.folder / lock).read_text().replace("sys-libs/zlib-1.3.1:", "sys-libs/zlib-1.3:")
    text = text.replace(" ncurses readline sqlite ", " ncurses readline -sqlite ")
    write(project.folder, {lock: re.sub(r"(ECLASS quern-musl SHA256) .*", rf"\1 {'0' * 64}", text)})
    write(project.folder, {f"profiles/{IMAGE}/package.use": "dev-lang/python -readline\n"})
    output = shell(project, f"QUERN_BUILD_LOCKED=on doit image:{IMAGE}", status=1)
    assert output.split(f"packages:{IMAGE}\n")[-1].strip() == refusal.strip()
    project.doit(f"lock:{IMAGE}", "--check", status=1)
    shell(project, f"doit lock:{IMAGE}")
    project.doit(f"lock:{IMAGE}", "--check")


BROKEN = {  # a mistake in the third line of the source
    "mine/metadata/layout.conf": "masters = starter\nthin-manifests = true\n",
    "mine/profiles/repo_name": "mine\n",
    "mine/app-misc/hello-quern/files/hello.c": "int main(void)\n{\n    in status = 0;\n    return status;\n}\n",
    "mine/app-misc/hello-quern/files/Makefile": "hello: hello.c\n\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $<\n",
    "mine/app-misc/hello-quern/hello-quern-1.ebuild": """\
EAPI=8
inherit quern-musl
SLOT="0"
KEYWORDS="amd64"
S="${WORKDIR}"
src_unpack() { cp "${FILESDIR}"/* . || die; }
src_compile() { emake CC="${CC}"; }
""",
}


MINE = """\
repositories = starter, mine
[repository:mine]
location = mine
priority = 1
"""


def test_a_package_that_fails(first: tuple[Project, str], tmp_path: Path) -> None:
    project = first[0].copy(tmp_path / "project")
    write(project.folder, BROKEN)
    project.edit("profiles/hello/quern.conf", "repositories = starter", MINE)
    (shown,) = blocks("failures", "The message")
    said = shell(project, "doit image:hello", status=1).split("packages:hello\n")[-1]
    assert shape(said.strip()) == shape(shown.replace("/home/user/project", str(project.folder)))
    assert "``--command='emake V=1'``" in sections("failures")["The shell"]
    again = shell(project, "doit shell:hello --command='emake V=1'", status=1)
    assert shown.splitlines()[2].strip() in again


@pytest.fixture(scope="module")
def small(first: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project that the manual shows file by file."""
    title = "The smallest image of your own"
    names = re.findall(r"``(profiles/small/\S+)``", sections("tutorial")[title])
    shown = dict(zip(["dodo.py", *names], blocks("tutorial", title), strict=True))
    folder = write(tmp_path_factory.mktemp("small") / "project", {**shown, "profiles/repo_name": "mine\n"})
    return Project(folder, first[0].variables)


def test_a_project_of_ones_own(small: Project) -> None:
    output = shell(small, "doit image:small")
    assert built(output) == []  # they were, for another image
    assert {"/bin/busybox", "/lib/ld-musl-x86_64.so.1"} <= small.names("small")


@pytest.fixture(scope="module")
def tutored(first: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of the tutorial before its change; busybox is not in the store."""
    folder = tmp_path_factory.mktemp("tutorial")
    store = linked_store(Path(first[0].variables["QUERN_PORTAGE_BINPKG"]), folder / "binpkgs", without="busybox-*")
    outside = Project(folder, {**first[0].variables, "QUERN_PORTAGE_BINPKG": str(store)})
    assert "make and tag the image hello" in shell(outside, blocks("tutorial", "Make a project")[0])
    project = Project(folder / "first", outside.variables)
    assert built(shell(project, blocks("tutorial", "Build the image")[0])) == []
    return project


def test_the_tutorial(tutored: Project, first: tuple[Project, str]) -> None:
    """Its change is explained as shown; it is built, tested and taken back."""
    change, explained, build = blocks("tutorial", "Change the image")
    assert answer(shell(tutored, change), "explain:hello").strip() == explained.strip()
    with_busybox = Project(tutored.folder, first[0].variables)  # to compile it is tested elsewhere
    shell(with_busybox, build)
    assert "/bin/busybox" in tutored.names("hello")
    assert "works: passed" in shell(with_busybox, blocks("tutorial", "Test the image")[0])
    assert built(shell(with_busybox, blocks("tutorial", "Take the change back")[0])) == []
    assert "/bin/busybox" not in tutored.names("hello")


GIT = "git -c init.defaultBranch=main -c user.name=x -c user.email=x@example.org"
COMMIT = f"""\
{GIT} init -q
{GIT} add dodo.py profiles
GIT_COMMITTER_DATE='2023-11-14 22:13:20 +0000' {GIT} commit -qm x
"""

STAND_IN = "#!/bin/sh\n[ \"$*\" = 'log -1 --format=%ct' ] && echo 1700000000\n"


def test_in_ci(small: Project) -> None:
    """The time is that of the commit, and the lock decides."""
    lock = blocks("lock", "The lock")[0].replace(IMAGE, "small")
    with (small.folder / "profiles/small/quern.conf").open("a") as file:
        file.write(lock)
    small.doit("lock:small")
    command = blocks("ci", "Locked builds")[0].replace("NAME", "small")
    if shutil.which("git"):
        shell(small, COMMIT)
    else:  # builds do without it, and so do the tests
        write(small.folder, {"bin/git": STAND_IN})
        (small.folder / "bin/git").chmod(0o755)
        command = f"PATH=$PWD/bin:$PATH\n{command}"
    shell(small, command)
    assert (small.folder / "images/image-small-2023-11-14.tar.gz").exists()
    with (small.folder / "profiles/small/packages").open("a") as file:
        file.write("sys-libs/zlib\n")
    assert "profiles/small/packages.lock: build.locked is on" in shell(small, command, status=1)


CLOCK = """\
EAPI=8
SLOT="0"
KEYWORDS="amd64"
S="${WORKDIR}"
src_install() {
    printf '#!/bin/sh\\ncat /usr/share/clock/built-at\\n' > clock || die
    dobin clock
    insinto /usr/share/clock
    echo now > built-at || die
    doins built-at
}
"""
NOISY = CLOCK.replace("echo now", "date +%N").replace(
    "dobin clock\n", 'dobin clock\n    ! grep -q elsewhere /proc/self/mountinfo || fperms 0700 "/usr/bin/clock"\n'
)
CLOCK_CONF = """\
[portage]
repositories = ./tree
[build]
lock = profiles/clock/packages.lock
[strip]
paths = /var/db/pkg
"""


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An image of one package that is another one whenever it is built."""
    tool("scanelf", "pax-utils")
    files = {name.replace("/one", "/clock"): text for name, text in TREE.items()}
    files |= {"tree/app-misc/clock/clock-1.ebuild": NOISY, "dodo.py": (CHECKOUT / "dodo.py").read_text()}
    files |= {"profiles/repo_name": "images\n", "profiles/clock/packages": "app-misc/clock\n"}
    files |= {"profiles/clock/parent": "tree:base\n", "profiles/clock/quern.conf": CLOCK_CONF}
    folder = write(tmp_path_factory.mktemp("clock") / "project", files)
    project = Project(folder, {"QUERN_POSTBUILD_ENGINES": "none"})
    project.doit("image:clock")
    return project


def test_an_image_that_does_not_come_out_the_same(clock: Project) -> None:
    said = shell(clock, "doit verify:clock", status=1)
    shown = blocks("reproducible", "Verify")[1].splitlines()
    assert [line for line in answer(said, "verify:clock").splitlines() if line in shown] == shown
    assert (clock.folder / "build/clock/verify").is_dir()


def test_an_image_that_does(clock: Project) -> None:
    write(clock.folder, {"tree/app-misc/clock/clock-1.ebuild": CLOCK})
    clock.doit("image:clock")
    said = answer(shell(clock, "doit verify:clock"), "verify:clock")
    assert shape(said)[-1:] == shape(blocks("reproducible", "Verify")[0])
    assert not (clock.folder / "build/clock/verify").exists()


ELSEWHERE = {"doit verify:NAME"}  # tested above
FAILING = {
    "doit shell:NAME": "no package of clock has failed",
    "doit try:NAME": "[dockergen] of clock has no entrypoint and no command",
    "doit why:NAME": "one of the two: doit why:clock --path=",
}
WORDS = {"TASK": "size:clock", "=PATH": "=/usr", "=PACKAGE": "=app-misc/clock"}
PLACEHOLDER = re.compile(rf"NAME|\bhello\b|{IMAGE}")


COMMANDS = [command for command in commands() if command.startswith("doit ") and command not in ELSEWHERE]
COMMANDS.sort(key=lambda command: command.startswith("doit clean"))  # what it removes, others want


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(clock: Project, command: str) -> None:
    """Each does something, for an image that was built and changed before."""
    script = PLACEHOLDER.sub("clock", command)
    for word, value in WORDS.items():
        script = script.replace(word, value)
    output = shell(clock, script, status=1 if command in FAILING else 0)
    assert FAILING.get(command, "") in output
    if "--json" in command:
        json.loads(output)
    if command.startswith("doit clean -c"):
        left = {path.name.partition(".")[0] for path in (clock.folder / "build/clock").glob("*")}
        assert left <= {"test"}  # which is a task of its own
        assert (clock.folder / "build/binpkgs").is_dir()
