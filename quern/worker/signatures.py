"""Signed binary packages: a keyring of those who may sign, and the check before anything of a package is used.

Portage checks signatures while it installs, and those of a package that has none only if all packages must have one,
our own as well. So what was fetched is checked by itself, with Portage's own code, as it will be read (GLEP 78).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from . import WorkerError

SUFFIX = ".gpkg.tar"


def keyring(home: str, keys: str, name: str) -> dict[str, Any]:
    """Make `home` a GnuPG home that trusts the public keys in the file `keys`, called `name`, and no others.

    Raises WorkerError if there is no gpg or no key.
    """
    shutil.rmtree(home, ignore_errors=True)
    os.mkdir(home, 0o700)
    imported = _gpg(home, "--import", keys)
    listed = _gpg(home, "--list-keys", "--with-colons").stdout.splitlines()
    rows = [line.split(":") for line in listed]
    fingerprints = [after[9] for before, after in zip(rows, rows[1:]) if before[0] == "pub" and after[0] == "fpr"]
    if not fingerprints:
        said = imported.stderr.strip().splitlines() or ["no reason given"]
        raise WorkerError(f"{name}: expected public keys, as gpg --export writes them ({said[-1]})")
    _gpg(home, "--import-ownertrust", text="".join(f"{fingerprint}:6:\n" for fingerprint in fingerprints))
    _gpg(home, "--check-trustdb")  # Portage has it not done while it checks
    return {"keys": fingerprints}


def _gpg(home: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    argv = ["gpg", "--homedir", home, "--batch", "--no-tty", "--no-autostart", *arguments]
    try:
        return subprocess.run(argv, input=text, capture_output=True, text=True, errors="replace", env=_environment())
    except FileNotFoundError:
        raise WorkerError("gpg is missing, with which packages' signatures are checked (Debian package gpg)") from None


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


def verify(packages: dict[str, str]) -> dict[str, Any]:
    """Check that each of `packages` (path: cpv) is that package, signed by a key of the keyring in the environment.

    Runs in Portage's Python. Returns {"refused": {cpv: why}}.
    """
    import portage
    from portage.gpkg import gpkg

    refused = {}
    for path, cpv in packages.items():
        if not path.endswith(SUFFIX):
            refused[cpv] = f"{os.path.basename(path)} is of a format that has no signatures"
            continue
        if os.path.islink(path) or not os.path.isfile(path):
            refused[cpv] = f"{os.path.basename(path)} is no file"
            continue
        try:
            package = gpkg(portage.settings, gpkg_file=path, verify_signature=True)
            package._verify_binpkg()
            found = package.get_metadata(["CATEGORY", "PF"])
        except Exception as error:  # whatever a file can be made to raise
            refused[cpv] = _reason(error)
            continue
        name = "/".join((value or b"").decode(errors="replace").strip() for value in found.values())
        if name != cpv:
            refused[cpv] = f"it is {name}"
    return {"refused": refused}


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
