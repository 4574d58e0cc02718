"""What src_install sets is in the package, and in the image: owners, capabilities and other attributes."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from quern.worker.gpkg import XATTR, opened
from tests.conftest import needs_root, tool
from tests.projects import write
from tests.test_emerging import Lab, ebuild
from tests.trees import CAPABILITY

pytestmark = pytest.mark.emerge

SET = f"""\
import os, sys
with open(sys.argv[1], "ab") as file:
    file.truncate(64 << 20)
os.setxattr(sys.argv[1], "security.capability", bytes.fromhex("{CAPABILITY.hex()}"))
os.setxattr(sys.argv[1], "user.quern", b"some")
"""
BODY = """
	/usr/bin/python3 "${FILESDIR}/set.py" "${ED}/usr/share/lab/capable" || die
	ln "${ED}/usr/share/lab/capable" "${ED}/usr/share/lab/again" || die
	chown 0:70 "${ED}/usr/share/man/man1/capable.1" || die
	echo masked > "${ED}/usr/share/lab/masked" || die
"""
NAMES = {f"image{name}" for name in (
    "", "/usr", "/usr/share", "/usr/share/lab", "/usr/share/lab/again", "/usr/share/lab/capable", "/usr/share/man",
    "/usr/share/man/man1", "/usr/share/man/man1/capable.1",
)}  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image of one package, which sets attributes, and for which PKG_INSTALL_MASK leaves out one file."""
    tool("scanelf", "pax-utils")
    found = Lab(tmp_path)
    write(found.tree, {"lab/capable/capable-1.ebuild": ebuild(body=BODY), "lab/capable/files/set.py": SET})
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


@needs_root
def test_they_reach_the_tarball(lab: Lab) -> None:
    """By way of the package, which has what Portage's own has, and no more."""
    lab.build()
    members = packaged(lab, "capable")
    assert members.keys() == NAMES
    assert attribute(members["image/usr/share/lab/again"], "security.capability") == CAPABILITY
    assert attribute(members["image/usr/share/lab/again"], "user.quern") == b"some"
    assert members["image/usr/share/lab/capable"].islnk()
    assert [each.gid for name, each in members.items() if name.startswith("image/usr/share/man/man1/")] == [70]
    (file,) = (lab.folder / "work/tarball").glob("*.tar.gz")
    with gzip.open(file) as plain, tarfile.open(fileobj=plain) as archive:
        program = archive.getmember("./usr/share/lab/again")
        assert attribute(program, "security.capability") == CAPABILITY
        assert (program.size, program.mode) == (64 << 20, 0o644)
        assert "./usr/share/lab/masked" not in archive.getnames()
