"""The index of a folder of binary packages: `Packages`, a head and a stanza for each, as Portage has it (version 0)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from quern.worker import regular

INDEX = "Packages"
CONSTANT = {"TIMESTAMP": "0"}  # the head of an index that only one emerge will read


def write_index(folder: Path, stanzas: Iterable[Mapping[str, str]], head: Mapping[str, str] = CONSTANT) -> None:
    """Write a `Packages` index (Portage's binary package index, version 0), with `head` in its head."""
    stanzas = list(stanzas)
    text = "\n".join(
        format_stanza(stanza) for stanza in ({"PACKAGES": str(len(stanzas)), "VERSION": "0", **head}, *stanzas)
    )
    (folder / INDEX).write_text(text, encoding="utf-8")


def read_index(folder: Path) -> list[dict[str, str]]:
    """The package stanzas of a view's index; none where it is missing."""
    return [stanza for stanza in _parts(folder) if "CPV" in stanza]


def read_head(folder: Path) -> dict[str, str]:
    """The head of a view's index; empty where it is missing."""
    return next(iter(_parts(folder)), {})


def _parts(folder: Path) -> list[dict[str, str]]:
    try:
        text = regular.text(folder / INDEX)  # bytes that are no UTF-8 must not stop a build
    except FileNotFoundError:
        return []
    return [parse_stanza(part) for part in text.split("\n\n")]


def parse_stanza(text: str) -> dict[str, str]:
    """`KEY: value` lines to a mapping."""
    return dict(line.split(": ", 1) for line in text.split("\n") if ": " in line)  # as Portage: no other line ends


def format_stanza(stanza: Mapping[str, str]) -> str:
    """A mapping to `KEY: value` lines, sorted."""
    return "".join(f"{name}: {value}\n" for name, value in sorted(stanza.items()))
