"""What stands for strip(1) keeps attributes, and is otherwise strip(1)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from quern.worker import strip
from tests.conftest import tool


def test_attributes_are_kept(tmp_path: Path) -> None:
    """Of a file that is stripped; what has none is stripped as ever, and a failure is one."""
    script = tmp_path / "strip"
    script.symlink_to(tool("strip", "binutils"))
    strip.cover(script)
    program = tmp_path / "program"
    argv = [str(tool("gcc", "gcc")), "-x", "c", "-", "-o", str(program)]
    subprocess.run(argv, input="int main(void) { return 0; }", text=True, check=True)
    (tmp_path / "plain").write_bytes(program.read_bytes())
    os.setxattr(program, "user.quern", b"some")
    for name in ("program", "plain"):
        subprocess.run([script, "--strip-unneeded", name], cwd=tmp_path, check=True)
    assert os.getxattr(program, "user.quern") == b"some"
    assert program.read_bytes() == (tmp_path / "plain").read_bytes()
    assert b".symtab" not in program.read_bytes()
    assert os.listxattr(tmp_path / "plain") == []
    assert subprocess.run([script, "absent"], cwd=tmp_path, capture_output=True).returncode == 1
