"""What a Portage profile builds for, by the names of OCI images (image-spec, config.md: those of Go's GOARCH)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from quern.errors import ProfileError

# ARCH (Gentoo's profiles/arch.list): how CHOST begins, architecture, variant; the first that fits counts
_NAMES: dict[str, tuple[tuple[str, str, str | None], ...]] = {
    "amd64": (("", "amd64", None),),
    "arm": (
        ("armv5", "arm", "v5"),
        ("armv6", "arm", "v6"),
        ("armv7", "arm", "v7"),
        ("armv8", "arm", "v8"),
        ("", "arm", None),
    ),
    "arm64": (("aarch64_be", "arm64be", None), ("", "arm64", "v8")),
    "loong": (("", "loong64", None),),
    "mips": (
        ("mips(isa)?64.*el", "mips64le", None),
        ("mips(isa)?64", "mips64", None),
        ("mips.*el", "mipsle", None),
        ("mips", "mips", None),
    ),
    "ppc": (("", "ppc", None),),
    "ppc64": (("(powerpc|ppc)64le", "ppc64le", None), ("", "ppc64", None)),
    "riscv": (("riscv32", "riscv", None), ("", "riscv64", None)),
    "s390": (("s390x", "s390x", None), ("", "s390", None)),
    "sparc": (("sparc64", "sparc64", None), ("", "sparc", None)),
    "x86": (("", "386", None),),
}


class Platform(NamedTuple):
    """Architecture and variant, as OCI spells them."""

    architecture: str
    variant: str | None = None


def platform_of(variables: Mapping[str, str]) -> Platform:
    """The platform of a profile's ARCH and CHOST. Raises ProfileError for one that OCI images have no name for."""
    arch, chost = variables.get("ARCH", ""), variables.get("CHOST", "")
    machine = chost.partition("-")[0]
    for begin, architecture, variant in _NAMES.get(arch, ()):
        if re.match(begin, machine):
            return Platform(architecture, variant)
    expected = f"a CHOST of {arch}" if arch in _NAMES else f"one of {', '.join(_NAMES)}"
    said = f"CHOST = {chost!r} with ARCH = {arch!r}" if arch in _NAMES else f"ARCH = {arch!r}"
    raise ProfileError(f"make.defaults of the profile: {said}: images have no name for that; expected {expected}")
