"""From the text of an option to its value: what Portage's side needs (repositories, profiles, atoms, mirrors)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from quern.config.settings import Pairs, RepositoryRef
from quern.config.values import Context, Unfit, distinct, items, path, plain
from quern.portage.atom import problem

_URL = r"(?:https?|ftp)://\S+|file://(?:localhost)?/\S+"


def is_repository_name(text: str) -> bool:
    """Is `text` a repository's name (PMS 3.1.5: no hyphen first, and the end must not look like a version)?"""
    name = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", text)
    return bool(name) and not re.search(r"-[0-9]+[a-z]?(?:_(?:alpha|beta|pre|rc|p)[0-9]*)*(?:-r[0-9]+)?\Z", text)


def repository_names(text: str, context: Context) -> tuple[str, ...]:
    """Names of repositories, separated by spaces as in layout.conf, or by commas."""
    names = text.replace(",", " ").split()
    for name in names:
        if not is_repository_name(name):
            raise Unfit("names of repositories", name)
    return distinct(names, "repository")


def repositories(text: str, context: Context) -> tuple[RepositoryRef, ...]:
    """Comma-separated folders (anything with a slash, ~ or . at its start) and bare names."""
    distinct(items(text), "repository")
    return tuple(_repository(item, context) for item in items(text))


def _repository(text: str, context: Context) -> RepositoryRef:
    if "/" in text or text.startswith((".", "~")):
        return RepositoryRef(None, path(text, context))
    if not is_repository_name(text):
        raise Unfit("paths of repositories, or names of [repository:NAME] sections, separated by commas", text)
    return RepositoryRef(text, None)


def profile(text: str, context: Context) -> str:
    """REPOSITORY:PATH, the path below that repository's profiles folder."""
    name, colon, below = text.partition(":")
    parts = below.split("/")
    one_word = plain(below) and below.split() == [below] and ":" not in below  # a line of Portage's file `parent`
    if not colon or not is_repository_name(name) or not one_word or any(part in ("", ".", "..") for part in parts):
        raise Unfit("REPOSITORY:PATH, the path below the repository's profiles folder, without spaces or colons")
    return text


def atoms(text: str, context: Context) -> tuple[str, ...]:
    """Package atoms separated by spaces or commas (not the commas of USE dependencies)."""
    found = re.findall(r"[^\s,\[]+(?:\[[^\]]*\])?", text)
    for atom in found:
        reason = problem(atom)
        if reason:
            raise Unfit(f"package atoms ({reason})", atom)
    if "".join(found) != re.sub(r"\s|,(?![^\[]*\])", "", text):
        raise Unfit("package atoms")
    return distinct(found, "atom")


def urls(text: str, context: Context) -> tuple[str, ...]:
    """Space-separated URLs of binary package hosts, or of mirrors."""
    for item in text.split():
        if not plain(item) or not re.fullmatch(_URL, item) or not _can_be_split(item):
            raise Unfit("http, https, ftp or file URLs separated by spaces", item)
    return distinct(text.split(), "URL")


def _can_be_split(url: str) -> bool:
    """Whether Python can take a URL apart, as it must be later: brackets, say, are for IPv6 addresses alone."""
    if "[" not in url and "]" not in url:
        return True

    try:
        return bool(urlsplit(url).scheme)
    except ValueError:
        return False


def mirrors(text: str, context: Context) -> Pairs:
    """NAME=URL words, in order of preference; one NAME may have several."""
    pairs = []
    for item in text.split():
        name, _, url = item.partition("=")
        known = re.fullmatch(r"[A-Za-z0-9_.-]+", name) and re.fullmatch(_URL, url) and _can_be_split(url)
        if not plain(item) or not known:
            raise Unfit("NAME=URL words separated by spaces", item)
        pairs.append((name, url))
    return tuple(pairs)
