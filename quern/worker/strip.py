"""Stands for strip(1) in builds off Gentoo: it writes files anew, and their capabilities and attributes would be gone.

On Gentoo Portage itself sees to that (FEATURES=xattr in make.conf(5)). Elsewhere that would have every install(1) of a
makefile be a program in Python.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from .walk import xattrs

SCRIPT = """\
#!/bin/sh
exec {python} -I -S -B {worker} strip {program} "$@"
"""


def cover(tool: Path) -> None:
    """Put a script in place of the link `tool`, which leads to strip(1)."""
    worker = os.path.dirname(os.path.abspath(__file__))
    python, worker, program = map(shlex.quote, (sys.executable, worker, os.readlink(tool)))
    tool.unlink()
    tool.write_text(SCRIPT.format(python=python, worker=worker, program=program))
    tool.chmod(0o755)


def strip(program: str, *words: str) -> int:
    """Run strip(1), which is at `program`; files among its arguments keep their attributes. Returns its exit status."""
    files = {word: xattrs(os.fsencode(word)) for word in words if os.path.isfile(word) and not os.path.islink(word)}
    if not any(files.values()):
        os.execv(program, [program, *words])
    status = subprocess.run([program, *words]).returncode
    for path, attributes in files.items():
        for name, value in attributes.items():
            os.setxattr(path, name, value)
    return status
