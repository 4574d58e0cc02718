"""What is built after a change equals what is built from nothing, also where one package goes into another's bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import TREE as LAB
from tests.test_emerging import Lab

pytestmark = pytest.mark.emerge

EBUILD = """\
EAPI=8
{inherit}
DESCRIPTION="Part of a program that is linked statically"
LICENSE="none"
KEYWORDS="amd64"
SLOT="0"
IUSE="loud"
DEPEND="{depend}"
S="${{WORKDIR}}"
src_compile() {{
	{compile}
}}
src_install() {{
	mkdir -p "${{ED}}/usr/lib" "${{ED}}/usr/bin" || die
	{install}
}}
"""
LIBRARY = "usr/lib/lib{0}.a"


def library(name: str, depend: str = "") -> str:
    """An ebuild of a static library, which holds the objects of the one that it depends on."""
    extract = f'ar x "${{ESYSROOT}}/{LIBRARY.format(depend)}" || die' if depend else ":"
    return EBUILD.format(
        inherit="",
        depend=f"lab/{depend}" if depend else "",
        compile=f'{extract}; gcc ${{CFLAGS}} -c "${{FILESDIR}}/{name}.c" || die; ar rcs lib{name}.a *.o || die',
        install=f'cp lib{name}.a "${{ED}}/usr/lib" || die',
    )


PROGRAM = EBUILD.format(
    inherit="inherit greeting",
    depend="lab/zed",
    compile='gcc ${CFLAGS} -DGREETING="\\"$(greeting)\\"" -static -o program "${FILESDIR}/program.c" '
    f'"${{ESYSROOT}}/{LIBRARY.format("zed")}" || die',
    install='cp program "${ED}/usr/bin" || die',
)
TREE = {
    "eclass/greeting.eclass": "greeting() { use loud && echo HELLO || echo hello; }\n",
    "profiles/image/packages": "lab/program\nlab/other\n",
    "lab/core/core-1.ebuild": library("core"),
    "lab/core/files/core.c": "int core(void) { return 1; }\n",
    "lab/zed/zed-1.ebuild": library("zed", "core"),
    "lab/zed/files/zed.c": "int core(void); int zed(void) { return 10 * core(); }\n",
    "lab/program/program-1.ebuild": PROGRAM,
    "lab/program/files/program.c": "#include <stdio.h>\nint zed(void);\n"
    '#ifndef EXTRA\n#define EXTRA 0\n#endif\nint main(void) { printf("%s %d\\n", GREETING, zed() + EXTRA); }\n',
}
ALL = ["lab/core-1", "lab/other-1", "lab/program-1", "lab/zed-1"]
# what is changed, what is built for it, and what the program says then; each on top of those before
CHANGES: list[tuple[Mapping[str, str], list[str], str]] = [
    ({"lab/core/files/core.c": "int core() { return 2; }\n"}, ["lab/core-1", "lab/program-1", "lab/zed-1"], "hello 20"),
    ({"eclass/greeting.eclass": "greeting() { echo moin; }\n"}, ["lab/program-1"], "moin 20"),
    ({"lab/core/core-2.ebuild": library("core")}, ["lab/core-2", "lab/zed-1"], "moin 20"),  # zed is as before
    ({"lab/leaf/leaf-1.ebuild": "# nothing has to do with it\n"}, [], "moin 20"),
    ({"profiles/image/make.defaults": 'CFLAGS="-DEXTRA=3"\n'}, ["lab/core-2", *ALL[1:]], "moin 23"),
]  # fmt: skip


class Statics(Lab):
    """An image whose one program is linked statically against libraries of the image's build."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        write(self.tree, TREE)

    def change(self, files: Mapping[str, str]) -> None:
        """Write files of the repository; what make.defaults gets is added."""
        for name, text in files.items():
            path = self.tree / name
            write(self.tree, {name: f"{path.read_text()}{text}" if path.name == "make.defaults" else text})

    def says(self) -> str:
        """What the image's program prints."""
        program = self.folder / "work/root/image/usr/bin/program"
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout.strip()

    def digests(self) -> list[str]:
        """Of the root, and of what of it is in the image."""
        return [(self.folder / f"work/{step}.digest").read_text() for step in ("root", "strip")]


def test_incremental_equals_clean(tmp_path: Path) -> None:
    tool("scanelf", "pax-utils")
    lab, clean = Statics(tmp_path / "lab"), Statics(tmp_path / "clean")
    lab.build()
    assert lab.emerged() == ALL
    assert lab.says() == "hello 10"
    first = lab.digests()
    for files, emerged, says in CHANGES:
        lab.change(files)
        clean.change(files)
        lab.build()
        assert lab.emerged() == emerged
        assert lab.says() == says
    clean.build()
    assert clean.emerged() == ["lab/core-2", *ALL[1:]]
    assert lab.digests() == clean.digests()

    (lab.tree / "lab/core/core-2.ebuild").unlink()
    write(lab.tree, {**LAB, **TREE})
    lab.build()
    assert lab.emerged() == []
    assert lab.digests() == first
