"""What a Manifest says of a source file (GLEP 74, the DIST lines), and whether a file is that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quern.portage.keys import distfile_digests
from quern.worker import regular

if TYPE_CHECKING:
    from quern.portage.plan import Package

# names in Manifests and in hashlib, the strongest first; hashlib has no WHIRLPOOL and no STREEBOG
HASHES = {
    "BLAKE2B": "blake2b", "SHA512": "sha512", "SHA3_512": "sha3_512", "BLAKE2S": "blake2s", "SHA256": "sha256",
    "SHA3_256": "sha3_256", "RMD160": "ripemd160", "SHA1": "sha1", "MD5": "md5",
}  # fmt: skip
BLOCK = 1 << 20  # bytes


class Expected(NamedTuple):
    """The size of a file in bytes, and its digests: by name in the Manifest, hexadecimal."""

    size: int
    digests: Mapping[str, str]


def expected(words: Sequence[str]) -> Expected | None:
    """What the words of a DIST line after the name say; None if they have no size, or no digest that we can compute."""
    digests = {name: value.lower() for name, value in zip(words[1::2], words[2::2], strict=False) if name in HASHES}
    digests = {name: digests[name] for name in HASHES if name in digests and _hasher(name)}
    if not words or not (words[0].isascii() and words[0].isdigit()) or not digests:
        return None
    return Expected(int(words[0]), digests)


def of_package(package: Package, names: Iterable[str]) -> dict[str, Expected | None]:
    """What the Manifest of a package says of these files; None for a file that it does not describe."""
    lines = distfile_digests(Path(package.ebuild).parent / "Manifest", names)
    return {name: expected(lines.get(name, "").split()) for name in names}


class Check:
    """Counts and digests the bytes of a file, as they come."""

    def __init__(self, file: Expected, names: Iterable[str] | None = None) -> None:
        self.size = 0
        self._file = file
        names = file.digests if names is None else names
        self._hashers = {name: hasher for name in names if (hasher := _hasher(name))}

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.size += len(data)
        for hasher in self._hashers.values():
            hasher.update(data)

    def problem(self) -> str:
        """How the bytes are not those of the file; empty if they are."""
        if self.size != self._file.size:
            return other_size(self.size, self._file)
        for name, hasher in self._hashers.items():
            if hasher.hexdigest() != self._file.digests[name]:
                return f"its {name} is not that of its Manifest"
        return ""


def other_size(size: int, file: Expected) -> str:
    """How many bytes there are, and should be."""
    return f"has {size} bytes; its Manifest says {file.size}"


def problem(path: Path, file: Expected) -> str | None:
    """How the file at `path` is not as its Manifest describes it; empty if it is, None if there is none.

    Of the digests the strongest one counts: this is done at every build. A link is followed.
    """
    try:
        if path.stat().st_size != file.size:
            return other_size(path.stat().st_size, file)
        check = Check(file, list(file.digests)[:1])
        with regular.opened(path.resolve()) as stream:
            while block := stream.read(BLOCK):
                check.update(block)
    except FileNotFoundError:
        return None
    return check.problem()


def _hasher(name: str) -> hashlib._Hash | None:
    try:
        return hashlib.new(HASHES[name], usedforsecurity=False)
    except ValueError:  # OpenSSL 3 has RIPEMD-160 only in its legacy provider
        return None
