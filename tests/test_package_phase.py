"""What src_install sets is in the package, and in the image: owners, capabilities and other attributes."""

from __future__ import annotations

import gzip
import os
import tarfile
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.worker import WorkerError
from quern.worker.gpkg import XATTR, opened
from quern.worker.package_phase import package
from tests.conftest import needs_root, tool
from tests.projects import write
from tests.test_emerging import Lab, ebuild
from tests.trees import CAPABILITY, add_special, make_tree

SET = f"""\
import os, sys
if sys.argv[1].endswith("capable"):
    os.truncate(sys.argv[1], 64 << 20)
os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("{CAPABILITY.hex()}"))
os.setxattr(sys.argv[1], "user.quern", b"some")
"""
BODY = """
	/usr/bin/python3 "${FILESDIR}/set.py" "${ED}/usr/share/lab/capable" || die
	echo "int main(void) { return 0; }" > program.c && gcc program.c -o "${ED}/usr/share/lab/program" || die
	/usr/bin/python3 "${FILESDIR}/set.py" "${ED}/usr/share/lab/program" || die
	ln "${ED}/usr/share/lab/capable" "${ED}/usr/share/lab/again" || die
	mkdir "${ED}/etc" && echo "lab:x:70:" > "${ED}/etc/group" || die
	chown 0:70 "${ED}/usr/share/man/man1/capable.1" || die
	echo masked > "${ED}/usr/share/lab/masked" || die
"""
HELPER = '/usr/bin/python3 "${FILESDIR}/set.py" "${ED}/usr/share/lab/helper" || die'
NAMES = {f"image{name}" for name in (
    "", "/etc", "/etc/group", "/usr", "/usr/share", "/usr/share/lab", "/usr/share/lab/again",
    "/usr/share/lab/capable", "/usr/share/man",
    "/usr/share/man/man1", "/usr/share/man/man1/capable.1", "/usr/share/lab/program",
)}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image of one package, which sets attributes, and for which PKG_INSTALL_MASK leaves out one file."""
    tool("scanelf", "pax-utils")
    tool("gcc", "gcc")
    found = Lab(tmp_path)
    write(found.tree, {"lab/capable/capable-1.ebuild": ebuild('BDEPEND="lab/helper"', BODY)})
    write(found.tree, {"lab/helper/helper-1.ebuild": ebuild(body=HELPER)})
    write(found.tree, {f"lab/{name}/files/set.py": SET for name in ("capable", "helper")})
    write(found.tree, {"profiles/image/packages": "lab/capable\n"})
    defaults = found.tree / "profiles/image/make.defaults"
    defaults.write_text(f'{defaults.read_text()}PKG_INSTALL_MASK="/usr/share/lab/masked"\n')
    return found


def packaged(lab: Lab, name: str) -> dict[str, tarfile.TarInfo]:
    """What the store has in a package, by name."""
    (file,) = lab.image.binpkgs.glob(f"lab/{name}-*.gpkg.tar")
    with opened(str(file)) as package:
        return {each.name: each for each in package.image}


def attribute(member: tarfile.TarInfo, name: str) -> bytes:
    """An extended attribute of what is in a tar."""
    return member.pax_headers[f"{XATTR}{name}"].encode("utf-8", "surrogateescape")


@pytest.mark.emerge
@needs_root
def test_they_reach_the_tarball(lab: Lab) -> None:
    """By way of the package, which has what Portage's own has, and no more. So has one that is built to build with."""
    lab.build()
    members = packaged(lab, "capable")
    assert members.keys() == NAMES
    for name in ("again", "program"):
        assert attribute(members[f"image/usr/share/lab/{name}"], "security.capability") == CAPABILITY
        assert attribute(members[f"image/usr/share/lab/{name}"], "user.quern") == b"some"
    assert b".symtab" not in (lab.folder / "work/root/image/usr/share/lab/program").read_bytes()
    assert members["image/usr/share/lab/capable"].islnk()
    assert (lab.folder / "work/root/image/usr/share/lab/capable").stat().st_blocks < 1 << 13  # it has holes
    assert [each.gid for name, each in members.items() if name.startswith("image/usr/share/man/man1/")] == [70]
    (helper,) = (each for name, each in packaged(lab, "helper").items() if name.endswith("/usr/share/lab/helper"))
    assert attribute(helper, "security.capability") == CAPABILITY
    (file,) = (lab.folder / "work/tarball").glob("*.tar.gz")
    with gzip.open(file) as plain, tarfile.open(fileobj=plain) as archive:
        program = archive.getmember("./usr/share/lab/again")
        assert attribute(program, "security.capability") == CAPABILITY
        assert (program.size, program.mode) == (64 << 20, 0o644)
        assert "./usr/share/lab/masked" not in archive.getnames()


INSTEAD_OF_D = {
    "a link to elsewhere": 'rm -r "${D}" && ln -s "${WORKDIR}/../../../../../.." "${D%/}" || die',
    "a file": 'rm -r "${D}" && touch "${D%/}" || die',
}


@needs_root
def test_everything_in_a_folder_is_packed(tmp_path: Path) -> None:
    """Attributes of folders and files, any name, hard links, devices; the metadata is that of the folder's files."""
    tree = make_tree(tmp_path / "tree")
    add_special(tree)
    os.setxattr(tree / "var", "user.quern", "ü".encode())
    write(tmp_path, {"info/PF": "one-1\n", "info/below/SLOT": "0\n"})
    (tmp_path / "info/CATEGORY").symlink_to("/etc/passwd")
    file = tmp_path / "one.gpkg.tar"
    assert package("compress", "one-1-7", str(file), str(tmp_path / "info"), str(tree)) == 0
    with opened(str(file)) as found:
        assert found.metadata == {"PF": b"one-1\n"}
        members = {each.name: each for each in found.image}
    top = os.fsencode(tree)
    paths = [os.path.join(folder, each) for folder, *both in os.walk(top) for each in [*both[0], *both[1]]]
    names = {os.path.relpath(path, top).decode("utf-8", "surrogateescape") for path in paths}
    assert members.keys() == {"image", *(f"image/{name}" for name in names - {"socket"})}
    assert attribute(members["image/var"], "user.quern") == "ü".encode()
    assert attribute(members["image/usr/lib/two"], "security.capability") == CAPABILITY
    assert (members["image/usr/lib/one"].uid, members["image/usr/lib/one"].gid) == (70, 3_000_000)
    assert members["image/usr/bin/tool"].linkname == "image/usr/bin/alias"
    assert members["image/null"].ischr()


def test_what_is_no_folder_is_not_packed(tmp_path: Path) -> None:
    """Where a build has put a link in the place of D, nothing of where it leads is in the package."""
    (tmp_path / "link").symlink_to("/usr")
    (tmp_path / "file").touch()
    (tmp_path / "info").mkdir()
    for name in ("link", "file", "absent"):
        with pytest.raises(WorkerError, match=f"{name}: expected a folder, which is what the package installs"):
            package("compress", "one-1", str(tmp_path / "x"), str(tmp_path / "info"), str(tmp_path / name))


@pytest.mark.emerge
@pytest.mark.parametrize("instead", INSTEAD_OF_D)
def test_a_build_that_replaces_d_fails(lab: Lab, instead: str) -> None:
    write(lab.tree, {"lab/capable/capable-1.ebuild": ebuild(body=INSTEAD_OF_D[instead])})
    with pytest.raises(BuildError, match="lab/capable-1"):
        lab.build()
    assert list(lab.image.binpkgs.glob("lab/*")) == []
