"""Where a source file can be had, in the order in which the addresses are tried.

`[portage] mirrors = local=...` ▶ GENTOO_MIRRORS ▶ mirror://NAME/ ▶ upstream; RESTRICT=primaryuri has upstream first.

Sources: PMS 7.3.2 (SRC_URI), 7.3.6 (RESTRICT), 8.2.10 (the prefixes `fetch+` and `mirror+` of EAPI 8); where PMS says
nothing, Portage's fetch.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from quern.fetching.folder import PARTIAL
from quern.fetching.mirrors import LOCAL, Mirrors

UNKNOWN_MIRROR = "SRC_URI has mirror://{name}/, and no repository knows a mirror of this name (thirdpartymirrors)"


class Place(NamedTuple):
    """An address to try: of the file itself or, with `is_mirror`, of a mirror whose layout says where it is there."""

    url: str
    is_mirror: bool = False


class Places(NamedTuple):
    """The addresses of a file, in order.

    `problems` are URIs that give none, each with the reason, `unknown` the names of mirrors that nobody knows.
    """

    tried: tuple[Place, ...]
    problems: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def offline(self) -> Places:
        """What of them is on this machine."""
        return self._replace(tried=tuple(place for place in self.tried if place.url.startswith("file:")))


def places(uris: Iterable[str], restrict: Collection[str], mirrors: Mirrors) -> Places:
    """Where a file can be had whose URIs SRC_URI has, in a package with this RESTRICT.

    What may not be fetched (RESTRICT=fetch) has only mirrors that the user names, and URIs that lift the restriction.
    """
    named, primary, upstream = list[str](), list[str](), list[str]()
    problems, unknown = list[str](), list[str]()
    is_mirrored = not {"fetch", "mirror"} & {*restrict}
    for written in uris:
        prefix, _, rest = written.partition("+")
        lifts = prefix in ("fetch", "mirror")
        uri, may_fetch = (rest, True) if lifts else (written, "fetch" not in restrict)
        is_mirrored |= prefix == "mirror" and lifts
        if not uri.startswith("mirror://"):
            primary += [uri] if may_fetch else []
            continue
        name, slash, path = uri.removeprefix("mirror://").partition("/")
        found = [f"{base.rstrip('/')}/{path}" for base in mirrors.configured.get(name, ())]
        known = [f"{base.rstrip('/')}/{path}" for base in mirrors.known.get(name, ())] if may_fetch else []
        named += found + known
        upstream += known
        if not slash or not name:
            problems.append(f"SRC_URI has {uri}: expected mirror://NAME/PATH")
        elif may_fetch and not found and not known:
            problems.append(UNKNOWN_MIRROR.format(name=name))
            unknown.append(name)
    copies = [
        Place(url, True) for url in (*mirrors.configured.get(LOCAL, ()), *(mirrors.gentoo if is_mirrored else ()))
    ]
    first = [Place(uri) for uri in primary + upstream] if "primaryuri" in restrict else []
    order = dict.fromkeys([*first, *copies, *(Place(uri) for uri in named + primary)])
    return Places(tuple(order), tuple(dict.fromkeys(problems)), tuple(dict.fromkeys(unknown)))


def together(found: Iterable[Places]) -> Places:
    """The addresses of a file of several packages, those of the first one first."""
    lists = zip(*found, strict=True)
    return Places(*(tuple(dict.fromkeys(each for some in parts for each in some)) for parts in lists))


def first_addresses(uris: Iterable[str], mirrors: Mapping[str, Sequence[str]]) -> list[str]:
    """URIs of SRC_URI as addresses for anyone: without prefix, at the first of the `mirrors` that repositories know."""
    found = []
    for written in uris:
        prefix, _, rest = written.partition("+")
        uri = rest if prefix in ("fetch", "mirror") else written
        name, _, path = uri.removeprefix("mirror://").partition("/")
        known = mirrors.get(name) if uri.startswith("mirror://") else None
        found.append(f"{known[0].rstrip('/')}/{path}" if known else uri)
    return list(dict.fromkeys(found))


def mirror_names(uris: Iterable[str]) -> set[str]:
    """The names of the mirrors in URIs of SRC_URI."""
    return {uri.partition("mirror://")[2].partition("/")[0] for uri in uris if "mirror://" in uri}


def is_name(name: str) -> bool:
    """Whether a source file may be called that: a plain name, and none that quern uses in that folder itself."""
    return (
        bool(name)
        and name.isprintable()
        and "/" not in name
        and not name.startswith(".")
        and not name.endswith(PARTIAL)
    )


def public(url: str) -> str:
    """A URL without a user's name and password, for all to read."""
    return re.sub(r"\A([^:/?#]+://)[^/?#]*@", r"\1", url)
