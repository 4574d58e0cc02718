"""Where the binary packages come from that quern did not build: the binhosts that the user names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from quern.portage.store import read_index
from quern.worker import fetch

CACHE = "var/cache/edb/binhost"  # below ROOT: what emerge keeps of the binhosts' indices (Portage's bintree)
_NO_INDEX = re.compile(r"^!!! \[.*\] Error fetching binhost package info from '(.+)'\n!!! \[.*\] (.+)$", re.M)

Origins = dict[tuple[str, str], str]


def origins(root: Path, binhosts: Iterable[str]) -> Origins:
    """The binhost of every package that emerge, which has just run with this ROOT, could fetch: by cpv and SHA-1.

    Emerge notes nowhere which binhost a package came from; of those that have it, it asks the one named first.
    """
    found: Origins = {}
    for url in binhosts:
        parts = urlsplit(url.rstrip("/"))
        folder = root / CACHE / (parts.hostname or "") / parts.path.lstrip("/")
        for stanza in read_index(folder):
            found.setdefault((stanza["CPV"], stanza.get("SHA1", "")), public(url))
    return found


def passed_over(output: str) -> list[str]:
    """Say which binhosts emerge could not ask, and went on without; `output` is what it printed."""
    lines = []
    for url, said in dict.fromkeys(_NO_INDEX.findall(output)):
        reason = "no file Packages there" if url.startswith("file:") else said
        lines.append(f"{public(url)} is left out, its packages are built here: {reason}")
    return lines


def public(url: str) -> str:
    """The address of a binhost without a password, for all to read."""
    return fetch.public(url.rstrip("/"))
