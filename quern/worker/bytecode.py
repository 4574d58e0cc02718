"""Has the helpers of Portage's phases write no bytecode into the installed Portage, which is not ours.

emerge itself is started with -B. What its phases call (doins.py, ebuild-ipc.py, filter-bash-environment.py, ...) is
started by PORTAGE_PYTHON, which is Portage's `sys.executable`: a script that adds -B takes its place. The variable
PYTHONDONTWRITEBYTECODE would reach the ebuilds too, which are to make bytecode of what they install, and would be kept
in the environment of binary packages; PORTAGE_PYTHON is not.

    HOST/python     the script; HOST is the host side (host.py)
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from .package_phase import PROGRAM
from .removal import remove_tree

SCRIPT = """\
#!/bin/sh
case $1 in */{program}) shift && exec {python} -I -B {worker} package "$@" ;; esac
exec {python} -B "$@"
"""
WORKER = os.path.dirname(os.path.abspath(__file__))
# Run by `python -B -c` with the script, one of Portage's commands and its arguments. The command that pip installs only
# starts Portage's own by `sys.executable` (portage/util/bin_entry_point.py): that Python would not know of the script.
# Of `python -c` the first folder of the search path is the current one, in which a build may have put modules.
AS_MAIN = """\
import sys
del sys.path[0]
sys.executable, *sys.argv = sys.argv[1:]
import os, runpy
from portage.const import PORTAGE_BIN_PATH
own = os.path.join(PORTAGE_BIN_PATH, os.path.basename(sys.argv[0]))
if os.access(own, os.X_OK):
    sys.argv[0] = own
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def write_script(host: str, python: str) -> str:
    """Write the script for the interpreter `python`, an absolute path, to the folder `host`, and return its path."""
    path = os.path.join(host, "python")
    remove_tree(os.fsencode(path))  # a build may have put something else there
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o755), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(SCRIPT.format(python=shlex.quote(python), worker=shlex.quote(WORKER), program=PROGRAM))
    return path


def without(host: str, argv: Sequence[str]) -> list[str]:
    """Return the command line `argv`, [interpreter, "-B", program, argument, ...], with the script as its Python.

    It stays as it is where nothing in `host` can be run.
    """
    python, *options = argv
    script = write_script(host, python)
    if not os.access(script, os.X_OK):  # mounted noexec
        return [*argv]
    return [python, options[0], "-c", AS_MAIN, script, *options[1:]]


def use_script(host: str) -> None:
    """Have the Portage that this process imports next use the script that was written to `host`, if one is there."""
    path = os.path.join(host, "python")
    if os.access(path, os.X_OK):
        sys.executable = path
