"""Which servers `mirror://NAME/` stands for, and how a mirror of Gentoo's distfiles is laid out (GLEP 75)."""

from __future__ import annotations

import configparser
import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from quern.fetching.manifest import HASHES, Expected

# Debian's archives by what stands in the path of their URLs; the first is `mirror://debian`.
ARCHIVES = {"debian": "debian", "debian-security": "debian-security"}
LOCAL = "local"  # a name in Portage's /etc/portage/mirrors: mirrors of all files, asked first (portage(5))


class Mirrors(NamedTuple):
    """`known` to the repositories by name (thirdpartymirrors, PMS 4.4.2), `configured` by the user; `gentoo` are the
    mirrors of all distfiles, GENTOO_MIRRORS of make.conf(5).
    """

    known: Mapping[str, Sequence[str]] = {}
    configured: Mapping[str, Sequence[str]] = {}
    gentoo: Sequence[str] = ()


def configured(pairs: Iterable[tuple[str, str]], wanted: Iterable[str]) -> dict[str, list[str]]:
    """The mirrors of `[portage] mirrors` by name, in order, and of apt those `wanted` that the user does not name."""
    chosen: dict[str, list[str]] = {}
    for name, url in pairs:
        chosen.setdefault(name, []).append(url)
    if {*wanted} & {*ARCHIVES.values()} - chosen.keys():  # asking apt takes a third of a second
        chosen = {**apt_mirrors(), **chosen}
    return chosen


def apt_mirrors() -> dict[str, list[str]]:
    """The Debian mirrors of this machine's apt configuration, by archive; empty where there is no apt."""
    apt = shutil.which("apt-get")
    if apt is None:
        return {}
    # LC_ALL: the key names of the answer are not translated, its warnings are
    answer = subprocess.run(
        [apt, "indextargets", "--format", "$(SITE)"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
    )
    found: dict[str, list[str]] = {}
    for site in dict.fromkeys(line.strip().rstrip("/") for line in answer.stdout.splitlines()):
        name = ARCHIVES.get(site.rsplit("/", 1)[-1])
        if name and site.startswith(("http://", "https://")):
            found.setdefault(name, []).append(site)
    return found


Layout = tuple[str, ...]  # the words of one line of layout.conf

FLAT: Layout = ("flat",)


def layouts(text: str) -> list[Layout]:
    """The layouts that the text of a layout.conf names, the preferred one first; none if it is no layout.conf."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
        rows = dict(parser["structure"])
    except (configparser.Error, KeyError):
        return []
    found = list[Layout]()
    while (row := rows.get(str(len(found)))) is not None:
        found.append(tuple(row.split()))
    return found


def path_in_mirror(name: str, file: Expected, known: Iterable[Layout]) -> str:
    """Where a mirror has the file, below its folder `distfiles`: by the first layout that we know, else flat."""
    for layout in known:
        if path := _path(name, file, layout):
            return path
    return quote(name)


def _path(name: str, file: Expected, layout: Layout) -> str | None:
    if layout == FLAT:
        return quote(name)
    if len(layout) != 3 or not (cutoffs := _cutoffs(layout[2])):
        return None
    kind, algorithm = layout[0], layout[1].upper()
    if kind == "filename-hash" and algorithm in HASHES:
        digest, last = hashlib.new(HASHES[algorithm], name.encode(), usedforsecurity=False).hexdigest(), quote(name)
    elif kind == "content-hash" and algorithm in file.digests:
        digest = last = file.digests[algorithm]
    else:
        return None
    folders, start = [], 0
    for length in cutoffs:
        folders.append(digest[start : start + length])
        start += length
    return "/".join([*folders, last])


def _cutoffs(text: str) -> list[int]:
    """The lengths of the folders' names in hexadecimal digits, from bits; empty if they are not multiples of 4."""
    words = text.split(":")
    if not all(word.isascii() and word.isdigit() and int(word) and int(word) % 4 == 0 for word in words):
        return []
    return [int(word) // 4 for word in words]
