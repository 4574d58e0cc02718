"""Where Portage itself is: the emerge command, the Python that can import it, and what identifies its version."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SYSTEM = Path("/usr/share/portage/config")  # of a Portage that the system owns, as on Gentoo
# printed by another Python: where its Portage is, and its prefix
QUESTION = (
    "import importlib.util, json, sys; spec = importlib.util.find_spec('portage');"
    "print(json.dumps([spec.origin, sys.prefix] if spec else []))"
)


class Installation(NamedTuple):
    """An installed Portage: its `emerge` script, its `python`, and the folder of its make.globals and sets."""

    emerge: Path
    python: Path
    package: Path  # the folder of the Python package `portage`
    defaults: Path

    @property
    def identity(self) -> str:
        """A digest that changes when another Portage is installed.

        The wheel's RECORD lists every file with its digest; without one (Gentoo installs no RECORD), the package
        folder's own time and the sources' sizes have to do.
        """
        records = sorted(self.package.parent.glob("portage-*.dist-info/RECORD"))
        if records:
            # not the commands, which name this environment's path, nor what the installer noted for itself
            lines = [
                line
                for line in records[0].read_text().splitlines()
                if "sha256=" in line and not line.startswith("../../../bin/") and ".dist-info/" not in line
            ]
            return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
        names = sorted(os.scandir(self.package), key=_name)
        text = "".join(f"{entry.name} {entry.stat().st_size} {entry.stat().st_mtime_ns}\n" for entry in names)
        return hashlib.sha256(text.encode()).hexdigest()


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def locate(path: str) -> Installation | None:
    """The Portage to use: the first emerge of the search path `path`, else the one beside this Python; if any."""
    beside = Path(sys.executable).parent / "emerge"
    found = shutil.which("emerge", path=path) or (str(beside) if beside.exists() else None)
    package = _package_here()
    if found and package:
        return Installation(Path(found), Path(sys.executable), package, Path(sys.prefix) / "share/portage/config")
    python = _interpreter(Path(found).resolve()) if found else None
    if found is None or python is None:
        return None
    for folder in sorted(Path("/usr/lib").glob("python3*/site-packages/portage")):
        if folder.parent.parent.name == python.name or python.name == "python3":
            return Installation(Path(found), python, folder, SYSTEM)
    return _asked(Path(found), python)


def _package_here() -> Path | None:
    """The folder of the `portage` package of this Python, found without importing it."""
    for entry in sys.path:
        if (Path(entry or ".") / "portage" / "__init__.py").is_file():
            return Path(entry or ".") / "portage"
    return None


def _interpreter(script: Path) -> Path | None:
    """The Python of a script's first line; python-exec's wrapper counts as the system's python3."""
    with script.open("rb") as file:
        line = file.readline().decode(errors="replace").strip()
    words = line[2:].split()
    if not line.startswith("#!") or not words or "python-exec" in line:
        return Path("/usr/bin/python3")
    return Path(words[0]) if "python" in Path(words[0]).name else None


def _asked(emerge: Path, python: Path) -> Installation | None:
    """The Portage of another Python, as that says itself: one in a virtual environment of its own, or pip's."""
    try:
        answer = subprocess.run([str(python), "-I", "-B", "-c", QUESTION], stdout=subprocess.PIPE, check=True).stdout
        origin, prefix = json.loads(answer)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    places = [Path(prefix) / "share/portage/config", Path("/usr/local/share/portage/config"), SYSTEM]
    defaults = next((place for place in places if (place / "make.globals").is_file()), None)
    return Installation(emerge, python, Path(origin).parent, defaults) if defaults else None
