"""Signing binary packages, as Gentoo's gpkg format has it (GLEP 78, "The container format"; Portage checks them so).

PF-BUILD_ID.gpkg.tar
  PF-BUILD_ID/gpkg-1                 says the format; empty, and not signed
  PF-BUILD_ID/metadata.tar.gz{,.sig} each part with its detached signature
  PF-BUILD_ID/image.tar.gz{,.sig}
  PF-BUILD_ID/Manifest               sizes and digests of them all, clear-signed

It is quern that signs, when everything is built: no build ever has a way to the key.
"""

from __future__ import annotations

import copy
import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import IO, NamedTuple

from quern.errors import BuildError, DriverError, display

MANIFEST = "Manifest"
SIGNATURE = ".sig"
FORMAT = "gpkg-1"
# What gpg needs to find the key and to ask for its passphrase: gpg(1), gpg-agent(1).
VARIABLES = (
    *("HOME", "GNUPGHOME", "PATH", "GPG_TTY", "TERM"),
    *("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"),
)


class Key(NamedTuple):
    """A secret key of the user's, by a name that gpg knows it by: a fingerprint, an address."""

    name: str

    def detached(self, data: IO[bytes]) -> bytes:
        """A signature of what `data` holds. Raises BuildError, and DriverError without gpg."""
        return self._gpg("--detach-sign", data)

    def clear(self, text: bytes) -> bytes:
        """The text in a signature. Raises BuildError, and DriverError without gpg."""
        return self._gpg("--clear-sign", io.BytesIO(text))

    def _gpg(self, command: str, data: IO[bytes]) -> bytes:
        argv = ["gpg", "--batch", "--no-tty", "--quiet", "--armor", "--digest-algo=SHA512", f"--local-user={self.name}"]
        environment = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        try:
            # its answer comes when it has read everything, so what it says cannot block it before
            process = subprocess.Popen(
                [*argv, command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, "LC_ALL": "C"},
            )
        except FileNotFoundError:
            raise DriverError("gpg is missing, which signs with portage.signing_key (Debian package gpg)") from None
        with process:
            signature, said = _fed(process, data)
        if process.returncode:
            reasons = said.decode(errors="replace").strip().splitlines() or ["it does not say why"]
            raise BuildError(f"portage.signing_key: gpg cannot sign with {self.name!r}: {reasons[-1]}")
        return signature


def _fed(process: subprocess.Popen[bytes], data: IO[bytes]) -> tuple[bytes, bytes]:
    """What a process writes, of which `data` is the input."""
    assert process.stdin is not None
    try:
        while block := data.read(1 << 20):
            process.stdin.write(block)
    except BrokenPipeError:  # it has ended, and says why
        pass
    return process.communicate()


def sign(package: Path, target: Path, key: Key) -> None:
    """Write the package to `target`, signed with `key` and by nobody else. Raises BuildError and DriverError."""
    with (
        tarfile.open(package, "r:") as old,
        tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as new,
    ):
        rows = []
        for member in old:
            folder, _, name = member.name.rpartition("/")
            file = old.extractfile(member)
            if file is None or not folder:
                raise BuildError(f"{display(package)} is no binary package in the gpkg format")
            if name == MANIFEST or name.endswith(SIGNATURE):
                continue
            rows.append(_add(new, member, file))
            if name != FORMAT:
                file.seek(0)
                rows.append(_add(new, _like(member, name + SIGNATURE), io.BytesIO(key.detached(file))))
        _add(new, _like(member, MANIFEST), io.BytesIO(key.clear("".join(rows).encode())))


def _like(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    """A member beside another one."""
    other = copy.copy(member)
    other.name = f"{member.name.rpartition('/')[0]}/{name}"
    return other


def _add(new: tarfile.TarFile, member: tarfile.TarInfo, file: IO[bytes]) -> str:
    """Add a member with what `file` holds; returns its line of the Manifest (GLEP 74)."""
    blake2b, sha512 = hashlib.blake2b(), hashlib.sha512()
    while block := file.read(1 << 20):
        blake2b.update(block)
        sha512.update(block)
    member = copy.copy(member)
    member.size = file.tell()
    file.seek(0)
    new.addfile(member, file)
    name = member.name.rpartition("/")[2]
    return f"DATA {name} {member.size} BLAKE2B {blake2b.hexdigest()} SHA512 {sha512.hexdigest()}\n"
