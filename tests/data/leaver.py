"""What the ebuild of a stranger might leave, for quern to find when the build has ended.

leaver.py WORK STAGING: the image's work folder, the step's folder.
"""

from __future__ import annotations

import os
import shutil
import sys

WORK, STAGING = sys.argv[1:]


def pipe(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    os.mkfifo(path)


def chain(folder: str) -> None:
    """Folders in folders, whose path no system call takes, the last of them closed."""
    os.chdir(folder)
    for _ in range(20):
        os.mkdir("folder" * 40)
        os.chdir("folder" * 40)
    os.mkdir("closed", 0o000)


chain(f"{WORK}/host/var/cache/edb/dep")
chain(STAGING)
pipe(f"{WORK}/host/home")
pipe(f"{WORK}/host/needs-root")
shutil.rmtree(f"{WORK}/host/binpkgs")
os.symlink("/", f"{WORK}/host/binpkgs")
pipe(f"{STAGING}/made/Packages")
