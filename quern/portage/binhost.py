"""Where the binary packages come from that quern did not build: the binhosts that the user names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quern.fetching import uris
from quern.portage.package_index import read_index

Origins = dict[tuple[str, str], str]


def origins(binhosts: Iterable[tuple[Path, str]]) -> Origins:
    """The binhost of every package that emerge could take from one: by cpv and SHA-1.

    `binhosts` are a folder with its index, and its address, in order. Emerge notes nowhere which binhost a package came
    from; of those that have it, it asks the one named first.
    """
    found: Origins = {}
    for folder, url in binhosts:
        for stanza in read_index(folder):
            found.setdefault((stanza["CPV"], stanza.get("SHA1", "")), public(url))
    return found


def public(url: str) -> str:
    """The address of a binhost without a password, for all to read."""
    return uris.public(url.rstrip("/"))
