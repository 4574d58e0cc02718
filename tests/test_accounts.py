"""Nothing of the machine is in a package: accounts, host name, umask, number of processors."""

from __future__ import annotations

import hashlib
import io
import os
import re
import socket
import subprocess
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from quern.drivers.confinement import obstacle
from quern.drivers.raw import RawDriver
from quern.errors import BuildError
from quern.portage.store import Store
from quern.portage.unknown_accounts import HINT
from quern.steps.base import Run, run_step
from quern.steps.chain import steps_of
from quern.worker import accounts
from tests.building import Project
from tests.conftest import needs_root, tool
from tests.containers import TREE
from tests.packages import gpkg, member
from tests.projects import Said, write
from tests.test_building import image
from tests.test_confine import AS_USER, QUERN, USER
from tests.test_emerging import Lab, ebuild

HEAD = 'EAPI=8\nSLOT="0"\nKEYWORDS="amd64"\nS="${WORKDIR}"\n'
HERE = '"${ED}/usr/share/lab'
MACHINE = "www-data"  # an account of Debian, the machine that these tests are for
GENTOO = {
    "passwd": "root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\nlabuser:x:4321:4322::/:/bin/false\n",
    "group": "root:x:0:root\nnogroup:x:65533:\nnobody:x:65534:\nlabgroup:x:4322:\n",
}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet, where builds are confined."""
    tool("scanelf", "pax-utils")
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")
    return Lab(tmp_path)


def baselayout(**files: str) -> str:
    """An ebuild that installs files of accounts."""
    body = 'mkdir -p "${ED}/etc" || die\n'
    body += "".join(f'\tcat > "${{ED}}/etc/{name}" <<-EOF || die\n{text}EOF\n' for name, text in files.items())
    return ebuild(body=body)


def owners(lab: Lab, cpv: str) -> dict[str, tuple[int, int]]:
    """The owner and group of each file that a binary package has in usr/share/lab."""
    (file,) = lab.image.binpkgs.glob(f"{cpv}-*.gpkg.tar")
    with tarfile.open(file) as outer:
        (name,) = (name for name in outer.getnames() if "/image.tar" in name)
        with tarfile.open(fileobj=outer.extractfile(name)) as inner:
            found = {member.name.rpartition("/")[2]: member for member in inner if "/lab/" in member.name}
    return {name: (member.uid, member.gid) for name, member in found.items()}


@needs_root
@pytest.mark.emerge
@pytest.mark.parametrize("how", ["chown", "fowners"])
def test_the_numbers_are_those_of_the_build_root(lab: Lab, how: str) -> None:
    """Debian's nogroup is 65534, which in the image is another group."""
    name = "/usr/share/lab/one" if how == "fowners" else f'{HERE}/one"'
    body = f'{how} nobody:nogroup {name} || die; touch {HERE}/two" || die\n\t'
    body += f"{how} labuser:labgroup {name.replace('one', 'two')} || die"
    image(lab, "one", base=baselayout(**GENTOO), one=ebuild('DEPEND="lab/base"', body))
    lab.build()
    assert owners(lab, "lab/one-1") == {"one": (65534, 65533), "two": (4321, 4322)}


@needs_root
@pytest.mark.emerge
def test_only_root_and_nobody_otherwise(lab: Lab) -> None:
    body = f'cut -d: -f1,3 /etc/passwd > {HERE}/users"; cat /etc/group > {HERE}/groups" || die\n'
    body += f'\tfowners root:root /usr/share/lab/one || die; chown nobody:nobody {HERE}/users" || die'
    image(lab, "one", one=ebuild(body=body))
    lab.build()
    folder = lab.folder / "work/root/image/usr/share/lab"
    assert (folder / "users").read_text() == "root:0\nnobody:65534\n"
    assert (folder / "groups").read_text() == "root:x:0:\nnobody:x:65534:\n"
    assert owners(lab, "lab/one-1") == {"one": (0, 0), "users": (65534, 65534), "groups": (0, 0)}
    assert not (lab.folder / "work/root/image/etc/passwd").exists()  # it is of builds only


@needs_root
@pytest.mark.emerge
@pytest.mark.parametrize("line", [f'chown {MACHINE} {HERE}/one"', f"fowners {MACHINE} /usr/share/lab/one"])
def test_an_account_of_the_machine_is_unknown(lab: Lab, line: str) -> None:
    image(lab, "one", one=ebuild(body=f"{line} || die"))
    with pytest.raises(BuildError, match="lab/one-1 failed in its install phase") as error:
        lab.build()
    assert MACHINE in str(error.value)
    assert HINT.format(kind="user", name=MACHINE) in str(error.value).splitlines()


@needs_root
@pytest.mark.emerge
def test_a_file_with_an_owner_of_the_machine_is_refused(lab: Lab) -> None:
    body = f'chown 1234:1235 foreign; cp -a foreign {HERE}/copied" || die'
    image(lab, "one", "two", one=ebuild(body=f"touch foreign; {body}"), two=ebuild())
    with pytest.raises(BuildError) as error:
        lab.build()
    assert str(error.value).startswith(
        "the binary package of lab/one-1: /usr/share/lab/copied belongs to user 1234 and group 1235, which no"
        " /etc/passwd or /etc/group that it is built with has; give it an owner"
    )
    assert not list(lab.image.binpkgs.glob("lab/one-*"))
    write(lab.tree, {"lab/base/base-1.ebuild": baselayout(passwd="a:x:1234:0:::\n", group="b:x:1235:\n")})
    image(lab, "one", one=ebuild('DEPEND="lab/base"', f"touch foreign; {body}"))
    lab.build()
    assert owners(lab, "lab/one-1")["copied"] == (1234, 1235)


@needs_root
@pytest.mark.emerge
def test_phases_of_the_root_see_its_accounts(lab: Lab) -> None:
    """Those that packages before have installed or added, and that an earlier phase of the same package has added."""
    adds = """
pkg_preinst() {
	echo "added:x:77:78::/:/bin/false" >> "${EROOT}/etc/passwd" || die
	echo "added:x:78:" >> "${EROOT}/etc/group" || die
}
pkg_postinst() {
	chown added:added "${EROOT}/usr/share/lab/adds" || die
}
"""
    uses = 'pkg_preinst() {\n\tchown labuser:nogroup "${ED}/usr/share/lab/uses" || die\n}\n'
    packages = {"base": baselayout(**GENTOO), "adds": ebuild('RDEPEND="lab/base"') + adds}
    image(lab, "adds", "uses", **packages, uses=ebuild('RDEPEND="lab/base lab/adds"') + uses)
    lab.build()
    folder = lab.folder / "work/root/image/usr/share/lab"
    found = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert found == {"adds": (77, 78), "base": (0, 0), "uses": (4321, 65533)}


FACTS = """
	umask > {here}/facts"
	uname -n >> {here}/facts"
	cat /etc/hostname /etc/hosts /etc/machine-id /etc/resolv.conf >> {here}/facts" 2>/dev/null
	id >> {here}/facts"
	env | grep -v "^MAKEOPTS=" | cut -d= -f1 | sort >> {here}/facts"
	cp -pL "${DISTDIR}/source.txt" {here}/source" || die
	mkdir {here}/folder" && touch {here}/folder/file" || die
""".replace("{here}", HERE)


def with_facts(lab: Lab, mode: int, owner: int) -> None:
    """Have the image consist of a package that installs what it sees, and a copy of its source."""
    image(lab, "one", one=ebuild('SRC_URI="source.txt"\nsrc_unpack() { :; }', FACTS))
    digest = hashlib.sha512(b"source").hexdigest()
    write(lab.tree, {"lab/one/Manifest": f"DIST source.txt 6 SHA512 {digest}\n"})
    write(lab.image.distfiles, {"source.txt": "source"})
    (lab.image.distfiles / "source.txt").chmod(mode)
    os.chown(lab.image.distfiles / "source.txt", owner, owner)


@needs_root
@pytest.mark.emerge
def test_the_same_package_file_on_another_machine(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other numbers of jobs, umask, host name and environment, and a source of another mode and owner."""
    with_facts(lab, 0o644, 0)
    (lab.folder / "lab.conf").write_text((lab.folder / "lab.conf").read_text() + "[emerge]\njobs = 1\n")
    lab.build()
    other = Lab(tmp_path / "other")
    with_facts(other, 0o600, 1234)
    (other.folder / "lab.conf").write_text((other.folder / "lab.conf").read_text() + "[emerge]\njobs = 3\n")
    monkeypatch.setenv("HOSTNAME", "elsewhere")
    monkeypatch.setenv("LOGNAME", "somebody")
    monkeypatch.setenv("MAKEFLAGS", "-j7")
    umask, name = os.umask(0o077), socket.gethostname()
    try:
        socket.sethostname("elsewhere")
        other.build()
    finally:
        socket.sethostname(name)
        os.umask(umask)
    assert lab.packages() == other.packages()
    facts = (other.folder / "work/root/image/usr/share/lab/facts").read_text()
    assert facts.startswith("0022\nlocalhost\n")
    assert "elsewhere" not in facts
    assert owners(other, "lab/one-1")["source"] == (0, 0)


@needs_root
@pytest.mark.emerge
def test_what_is_not_confined_has_the_machine_s_accounts(lab: Lab) -> None:
    """And never writes to them."""
    before = Path("/etc/passwd").read_bytes()
    image(lab, "one", base=baselayout(**GENTOO), one=ebuild('DEPEND="lab/base"', f'id {MACHINE} > {HERE}/id" || die'))
    for step in steps_of(lab.image)[:3]:
        run_step(step, Run(RawDriver(confine="off"), Said()))
    assert Path("/etc/passwd").read_bytes() == before
    assert f"({MACHINE})" in (lab.folder / "work/root/image/usr/share/lab/id").read_text()


@needs_root
@pytest.mark.parametrize("prefix", [(), AS_USER], ids=["root", "user"])
def test_who_builds_is_root(tmp_path: Path, for_everyone: str, prefix: tuple[str, ...]) -> None:
    """An ordinary user too. Nothing of the machine's /etc that says whose it is can be read, or written."""
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")
    folder, user = tmp_path / "own", USER if prefix else 0
    folder.mkdir()
    os.chown(folder, user, user)
    script = "id -un; id -gn; touch file; chown root:root file; cat /etc/shadow /etc/group; echo x >> /etc/passwd"
    argv = [*prefix, for_everyone, "-c", QUERN, str(folder), "sh", "-c", script]
    lines = subprocess.run(argv, capture_output=True, text=True).stdout.splitlines()
    assert lines[:-1] == ["root", "root", f"root:x:{user}:", "nobody:x:65534:"]
    assert lines[-1].endswith("cannot create /etc/passwd: Read-only file system")
    assert (folder / "file").stat().st_uid == user


OWNED = [
    member("image/a", b"", uid=5, gid=6),
    member("image/b", kind=tarfile.SYMTYPE, linkname="a", uid=7),
    member("image/c", kind=tarfile.LNKTYPE, linkname="image/a"),
    member("image/d", kind=tarfile.DIRTYPE, gid=8),
    member("image/etc/passwd", b"five:x:5:0:::\n"),
    member("image/etc/group", b"six:x:6:\n"),
]


@pytest.mark.parametrize(
    ("users", "groups", "said"),
    [
        ({0, 7}, {0, 8}, ""),
        ({0, 7}, {0}, "the binary package of lab/one-1: /d belongs to group 8, which no /etc/passwd"),
        (
            {0},
            {0},
            "/b belongs to user 7, which no /etc/passwd or /etc/group that it is built with has, nor the owners of",
        ),
    ],
)
def test_owners_that_count(tmp_path: Path, users: set[int], groups: set[int], said: str) -> None:
    """Those that are known, and those in the package's own files of accounts; of links too."""
    store, known = Store(tmp_path / "store"), accounts.Numbers(frozenset(users), frozenset(groups))
    package = io.BytesIO(gpkg("lab/one-1", OWNED))
    with pytest.raises(BuildError, match=re.escape(said)) if said else nullcontext():
        store.add("0" * 64, package, {"CPV": "lab/one-1"}, known=known)
    assert bool(store.packages()) == (not said)


def test_files_of_accounts_that_are_none(tmp_path: Path) -> None:
    """A root may be hostile: links lead nowhere outside, a pipe is not read, odd lines do not count."""
    write(tmp_path, {"outside/passwd": "spy:x:5:5:::\n", "root/etc/group": "a:x:7:\nb:x:-1:\nc\na:x:8:\n:x\n"})
    (tmp_path / "root/etc/passwd").symlink_to(tmp_path / "outside/passwd")
    found = accounts.numbers(str(tmp_path / "root"))
    assert found.users == {0, 65534}
    assert found.groups == {0, 65534, 7, 8}
    (tmp_path / "root/etc/passwd").unlink()
    os.mkfifo(tmp_path / "root/etc/passwd")
    assert accounts.numbers(str(tmp_path / "root")).users == {0, 65534}
    assert not accounts.show(str(tmp_path / "root"))  # this process is not confined


SHELL = {
    "tree/app-misc/accounts/accounts-1.ebuild": HEAD
    + f"src_install() {{ insinto /etc; newins - passwd <<< $'{GENTOO['passwd'].strip()}'; }}\n".replace("\\n", "\n"),
    "tree/app-misc/one/one-1.ebuild": f'{HEAD}DEPEND="app-misc/accounts"\nsrc_install() {{ touch file; die; }}\n',
}


@needs_root
@pytest.mark.emerge
def test_a_shell_knows_what_the_build_knew(tmp_path: Path) -> None:
    if reason := obstacle():
        pytest.skip(f"needs the right to make namespaces: {reason}")
    project = Project(write(tmp_path, {**TREE, **SHELL}))
    project.doit("packages:one", status=1)
    said = project.doit("shell:one", "--command=chown labuser file && stat -c %u file").splitlines()
    assert "4321" in said
