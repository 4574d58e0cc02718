"""What the files of an image need and is not in it: real programs, libraries, scripts and links, and hostile ones."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.errors import BuildError
from quern.steps.base import run_step
from quern.steps.strip import StripStep
from quern.worker import elf
from quern.worker.closure import closure
from tests.conftest import tool
from tests.projects import Said, image_of, run, write

DATABASE = "var/db/pkg/lab/{0}-1/CONTENTS"


def compiled(target: Path, code: str, *options: str) -> None:
    """Compile C to `target`; without the machine's libraries, which no test may depend on."""
    target.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(tool("gcc", "gcc")), "-x", "c", "-", "-x", "none", *options]
    argv += ["-nostdlib", "-fno-stack-protector", "-o", str(target)]
    subprocess.run(argv, input=code, text=True, check=True, capture_output=True)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, one that needs it, a program that needs that one and a loader, and what stands for the loader."""
    folder = tmp_path_factory.mktemp("parts")
    compiled(folder / "libone.so.1", "int one(void){return 1;}", "-shared", "-fPIC", "-Wl,-soname,libone.so.1")
    compiled(
        folder / "libtwo.so.2",
        "int one(void); int two(void){return one();}",
        *("-shared", "-fPIC", "-Wl,-soname,libtwo.so.2", str(folder / "libone.so.1")),
    )
    code = "int two(void); void _start(void){two(); for(;;);}"
    loader = "-Wl,--dynamic-linker=/lib/ld-lab.so.1"
    compiled(folder / "program", code, str(folder / "libtwo.so.2"), loader, f"-Wl,-rpath-link,{folder}")
    compiled(folder / "alone", "void _start(void){for(;;);}", "-static")
    return folder


class Rooted:
    """An image whose root is finished: files, their packages and the strip step."""

    def __init__(self, folder: Path, parts: Path) -> None:
        self.folder = folder
        self.root = folder / "work/root/image"
        write(folder, {"work/root.digest": "sha256:0\n"})
        for name, target in {"libone.so.1": "lib", "libtwo.so.2": "lib", "program": "bin", "alone": "bin"}.items():
            place = self.root / "usr" / target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((parts / name).read_bytes())
            place.chmod(0o755)
        write(self.root, {"usr/lib/ld-lab.so.1": ""})
        (self.root / "lib").symlink_to("usr/lib")
        owned = {"lib": ("usr/lib/libone.so.1", "usr/lib/libtwo.so.2"), "tool": ("usr/bin/program",)}
        for name, paths in owned.items():
            lines = "".join(f"obj /{path} 0 0\n" for path in paths)
            write(self.root, {DATABASE.format(name): lines})

    def script(self, name: str, line: str, mode: int = 0o755) -> None:
        write(self.root, {name: f"{line}\n"})
        (self.root / name).chmod(mode)

    def strip(self, paths: str = "", closure: str = "warn", env: str = "") -> list[str]:
        """The warnings of the strip step."""
        text = f"[strip]\npaths = {paths}\n[build]\nclosure = {closure}\n[dockergen]\nenv = {env}\n"
        write(self.folder, {"lab.conf": text})
        said = Said()
        image = image_of(self.folder / "lab.conf", self.folder / "work")
        run_step(StripStep(image.work, True, image), run(said))
        return [line.removeprefix("Warning: ") for line in said.lines if line.startswith("Warning: ")]


@pytest.fixture
def rooted(tmp_path: Path, parts: Path) -> Rooted:
    """An image that is whole."""
    return Rooted(tmp_path, parts)


def test_an_image_that_is_whole(rooted: Rooted) -> None:
    (rooted.root / "usr/lib/libone.so.1").rename(rooted.root / "usr/lib/libone.so.1.2.3")
    (rooted.root / "usr/lib/libone.so.1").symlink_to("libone.so.1.2.3")
    rooted.script("usr/bin/script", "#! /bin/interpreter -x")
    rooted.script("usr/bin/other", "#!/usr/bin/env -S LANG=C interpreter -x")
    rooted.script("usr/bin/interpreter", "")
    (rooted.root / "bin").symlink_to("/usr/bin")
    rooted.script("usr/bin/env", "")
    rooted.script("usr/share/not-run", "#!/nowhere", 0o644)
    for name, target in {"mtab": "/proc/self/mounts", "resolv.conf": "../run/resolv.conf"}.items():
        write(rooted.root, {"etc/x": ""})
        (rooted.root / "etc" / name).symlink_to(target)
    (rooted.root / "var/run").symlink_to("/run/x")
    assert rooted.strip(closure="error") == []
    assert not (rooted.folder / "work/logs/strip.log").exists()


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (
            "/usr/lib/libone*",
            "libone.so.1 is needed by /usr/lib/libtwo.so.2 (lab/lib-1), but strip.paths: /usr/lib/libone* took"
            " /usr/lib/libone.so.1 out (lab/lib-1)",
        ),
        (
            "/lib/ld-*",
            "/lib/ld-lab.so.1 is to run /usr/bin/program (lab/tool-1), but strip.paths: /lib/ld-* took"
            " /usr/lib/ld-lab.so.1 out",
        ),
    ],
)
def test_what_a_rule_took_out(rooted: Rooted, paths: str, said: str) -> None:
    assert rooted.strip(paths) == [said]
    assert (rooted.folder / "work/logs/strip.log").read_text() == f"{said}\n"
    with pytest.raises(BuildError) as error:
        rooted.strip(paths, "error")
    assert str(error.value).splitlines()[:2] == [
        "build.closure: files of lab need what is not in it:",
        f"  {said}",
    ]
    assert rooted.strip() == []


def test_a_rule_of_an_option(rooted: Rooted) -> None:
    """`dev` takes a header, and a file that is a link to it stays."""
    write(rooted.root, {"usr/include/x.h": "", DATABASE.format("headers"): "obj /usr/include/x.h 0 0\n"})
    (rooted.root / "usr/lib/x").symlink_to("../include/x.h")
    write(rooted.folder, {"lab.conf": "[strip]\ndev = on\n"})
    said = Said()
    image = image_of(rooted.folder / "lab.conf", rooted.folder / "work")
    run_step(StripStep(image.work, True, image), run(said))
    expected = "../include/x.h is what /usr/lib/x leads to, but strip.dev took /usr/include/x.h out (lab/headers-1)"
    assert f"Warning: {expected}" in said.lines


def test_a_link_on_the_way(rooted: Rooted) -> None:
    assert rooted.strip("/lib") == ["/lib/ld-lab.so.1 is to run /usr/bin/program (lab/tool-1), but [strip] took"
                                    " /usr/lib/ld-lab.so.1 out"]  # fmt: skip


def test_what_nobody_has_installed(rooted: Rooted) -> None:
    rooted.script("usr/bin/one", "#!/bin/bash")
    rooted.script("usr/bin/two", "#!/usr/bin/env python3")
    rooted.script("usr/bin/env", "")
    (rooted.root / "usr/bin/link").symlink_to("/opt/tool")
    (rooted.root / "usr/bin/loop").symlink_to("loop")
    assert rooted.strip() == [
        "/opt/tool is what /usr/bin/link leads to, but no package has installed it",
        "loop is what /usr/bin/loop leads to, but no package has installed it",
        "/bin/bash is to run /usr/bin/one, but no package has installed it",
        "python3 is to run /usr/bin/two, but no package has installed it",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "#!/usr/bin/sh\r",
            "/usr/bin/sh\\r is to run /usr/bin/x, but its first line ends with CR LF, and the kernel takes the CR for a"
            " part of the name: save it with LF",
        ),
        (
            "#!/usr/bin/env sh\r",
            "sh\\r is to run /usr/bin/x, but its first line ends with CR LF, and the kernel takes the CR for a part of"
            " the name: save it with LF",
        ),
        ("#!/usr/bin/sh\f", "/usr/bin/sh\f is to run /usr/bin/x, but no package has installed it"),
        (
            "#!/usr/bin/env sh -e",
            "sh -e is to run /usr/bin/x, but the kernel gives env one word: write `env -S`",
        ),
        ("#!/usr/bin/env -S absent -x", "absent is to run /usr/bin/x, but no package has installed it"),
        ("#! \t /usr/bin/sh \t -e x\r", ""),  # the CR is the shell's
        ("#!/usr/bin/env -S sh -e\r", ""),  # env splits at every blank
        ("#!/usr/bin/env -iS X=1 sh -e", ""),
        ("#!/usr/bin/env -i", ""),
    ],
)
def test_a_first_line_as_the_kernel_reads_it(rooted: Rooted, line: str, said: str) -> None:
    """A blank is a space or a tab (fs/binfmt_script.c)."""
    for name in ("usr/bin/sh", "usr/bin/env"):
        rooted.script(name, "")
    write(rooted.root, {"usr/bin/x": ""})
    (rooted.root / "usr/bin/x").write_bytes(line.encode() + b"\n")
    (rooted.root / "usr/bin/x").chmod(0o755)
    assert rooted.strip() == ([said] if said else [])


def test_what_the_configuration_says_of_folders(rooted: Rooted) -> None:
    """LD_LIBRARY_PATH and PATH of [dockergen] env are what programs run with."""
    for name, place in {"libone.so.1": "opt/lib", "libtwo.so.2": "opt/lib"}.items():
        (rooted.root / place).mkdir(parents=True, exist_ok=True)
        (rooted.root / "usr/lib" / name).rename(rooted.root / place / name)
    rooted.script("opt/bin/own", "#!/usr/bin/env tool")
    for name in ("opt/bin/tool", "usr/bin/env"):
        rooted.script(name, "")
    folders = "/lib64, /usr/lib64, /lib, /usr/lib, /lib32, /usr/lib32, /libx32, /usr/libx32"
    assert rooted.strip() == [
        "tool is to run /opt/bin/own, but no package has installed it",
        "libtwo.so.2 is needed by /usr/bin/program (lab/tool-1), but it is /opt/lib/libtwo.so.2, and the loader looks"
        f" in {folders}",
    ]
    assert rooted.strip(env="PATH=/opt/bin LD_LIBRARY_PATH=/opt/lib", closure="error") == []


def test_many_files_that_need_the_same(rooted: Rooted) -> None:
    for number in range(9):
        rooted.script(f"usr/bin/script{number}", "#!/bin/bash")
    for number in range(20):
        rooted.script(f"usr/bin/x{number:02}", f"#!/bin/x{number:02}")
    said = rooted.strip()
    assert said[0].startswith(
        "/bin/bash is to run /usr/bin/script0, /usr/bin/script1, /usr/bin/script2 and 6 more, but "
    )
    assert said[-1] == "and 11 more things"
    assert len((rooted.folder / "work/logs/strip.log").read_text().splitlines()) == 21


def test_names_that_nobody_would_think_of(rooted: Rooted) -> None:
    odd = os.fsencode(rooted.root) + b"/usr/bin/\xff\n\x1b[2J"
    with open(odd, "wb") as file:
        file.write(b"#!/bin/\x1b]0;x\x07\xfe\n")
    os.chmod(odd, 0o755)
    (said,) = rooted.strip()
    assert "\n" not in said
    log = (rooted.folder / "work/logs/strip.log").read_text()
    assert len(log.splitlines()) == 1
    assert "\x1b" not in log


def test_a_library_of_another_kind_is_another_one(rooted: Rooted) -> None:
    library = rooted.root / "usr/lib/libone.so.1"
    data = bytearray(library.read_bytes())
    data[18] = 0xB7  # AArch64
    library.write_bytes(data)
    (said,) = rooted.strip()
    assert said == ("libone.so.1 is needed by /usr/lib/libtwo.so.2 (lab/lib-1), but no package has installed it")


def test_what_musl_s_loader_takes_for_itself(rooted: Rooted, parts: Path, tmp_path: Path) -> None:
    compiled(tmp_path / "libc.so", "int c(void){return 1;}", "-shared", "-fPIC", "-Wl,-soname,libc.so")
    code = "int c(void); void _start(void){c(); for(;;);}"
    compiled(rooted.root / "usr/bin/x", code, str(tmp_path / "libc.so"), "-Wl,--dynamic-linker=/lib/ld-musl-x.so.1")
    assert len(rooted.strip()) == 2
    (rooted.root / "usr/lib/ld-musl-x.so.1").write_bytes((tmp_path / "libc.so").read_bytes())
    assert rooted.strip(closure="error") == []


def test_the_interpreter_of_these_tests() -> None:
    """As other tools read it."""
    path = Path(sys.executable).resolve()
    argv = [str(tool("readelf", "binutils")), "-dlW", str(path)]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    with path.open("rb") as file:
        found = elf.read(file)
    assert found
    assert [f"[{name.decode()}]" for name in found.needed] == [
        line.split()[-1] for line in said.splitlines() if "(NEEDED)" in line
    ]
    assert found.interpreter
    assert f"[Requesting program interpreter: {found.interpreter.decode()}]" in said


@given(st.data())
def test_a_damaged_file_is_none(parts: Path, data: st.DataObject) -> None:
    """Whatever is in it: no error, and no time or memory."""
    good = (parts / "libtwo.so.2").read_bytes()
    cut = data.draw(st.integers(5, len(good)))
    changed = bytearray(good[:cut])
    for place, value in data.draw(st.dictionaries(st.integers(4, cut - 1), st.integers(0, 255), max_size=8)).items():
        changed[place] = value
    found = elf.read(io.BytesIO(bytes(changed)))
    assert found is None or isinstance(found.needed, tuple)


def test_a_real_root_of_this_machine_is_read(tmp_path: Path) -> None:
    """Python's own folder of modules, without the libraries that they need."""
    folder = Path(os.__file__).parent / "lib-dynload"
    rows = closure(str(folder), str(folder), [])["unresolved"]
    assert {row["needs"] for row in rows} >= {"libc.so.6"}
    assert {row["kind"] for row in rows} == {"library"}
