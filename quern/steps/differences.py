"""What of a step's inputs is not as it was, in words: `[dockergen] user nobody -> app (profiles/x/quern.conf:12)`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from quern.errors import display

# inputs that are an option's value
OPTIONS = {
    "baselayout": "build.baselayout_atoms",
    "sets": "build.include_system",
    "compressor": "build.compression",
    "source_date_epoch": "build.source_date_epoch",
    "outdir": "build.outdir",
    "output_name": "build.image_name",
    "profile": "build.profile",
    "closure": "build.closure",
}
OUTPUTS = {  # inputs that come from another step
    "portage": "Portage's configuration",
    "packages": "the binary packages",
    "root": "the image root",
    "strip": "the stripped root",
    "tarball": "the tarball",
    "platform": "the profile's architecture",
}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], origins: Mapping[str, str]) -> list[str]:
    """A line for each difference between two steps' inputs; `origins` says where options were set, by SECTION.KEY."""
    return [
        line
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
        for line in _lines(name, before.get(name), now.get(name), origins)
    ]


def _lines(name: str, before: Any, now: Any, origins: Mapping[str, str]) -> Iterable[str]:  # noqa: ANN401 (JSON)
    if name == "stack":
        return _files(_flat(before), _flat(now))
    if name == "top":
        return _files(before or {}, now or {})
    if name == "dockergen":
        return [_option(f"dockergen.{key}", *pair, origins) for key, pair in _changed(before or {}, now or {})]
    if name == "rules":
        return [f"[strip] {sign}{rule}" for sign, rule in _moved(before or [], now or [])]
    if name == "machine":
        return sorted({_machine_part(entry) for entry in {*(before or [])} ^ {*now}})
    if name in OPTIONS:
        return [_option(OPTIONS[name], before, now, origins)]
    words = {"installation": "Portage", "repos.conf": "the list of repositories", "version": "quern", **OUTPUTS}
    if name == "archive":  # of outdir, or of image_name
        return [f"the archive's path {_value(before)} -> {_value(now)}"]
    return [f"{words.get(name, name)} changed"]


def _flat(stack: Iterable[Any] | None) -> dict[str, str]:
    """The files of a profile stack, by path."""
    return {str(Path(folder) / file): digest for folder, files in stack or () for file, digest in files.items()}


def _files(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for path, (old, new) in _changed(before, now):
        yield f"{display(Path(path))} {'changed' if old and new else 'added' if new else 'removed'}"


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield name, (before.get(name), now.get(name))


def _moved(before: Iterable[str], now: Iterable[str]) -> Iterator[tuple[str, str]]:
    before, now = list(before), list(now)
    yield from (("+", each) for each in now if each not in before)
    yield from (("-", each) for each in before if each not in now)


def _option(name: str, before: Any, now: Any, origins: Mapping[str, str]) -> str:  # noqa: ANN401 (JSON)
    section, key = name.split(".")
    place = f" ({origins[name]})" if name in origins else ""
    return f"[{section}] {key} {_value(before)} -> {_value(now)}{place}"


def _value(value: Any) -> str:  # noqa: ANN401 (JSON)
    if value in (None, "", [], ()):
        return "unset"
    if isinstance(value, (list, tuple)):
        return " ".join("=".join(each) if isinstance(each, (list, tuple)) else str(each) for each in value)
    return str(value)


def _machine_part(entry: str) -> str:
    """What an entry of a machine's identity is about: it is `NAME VALUES`, of Portage a digest, of an image its id."""
    name, _, values = entry.partition(" ")
    if not values:
        return "another builder image" if name.startswith("sha256:") else "another Portage"
    return f"[portage] binhost {values}" if name == "binhost" else f"{name} changed"
