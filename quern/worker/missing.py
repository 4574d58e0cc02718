"""Rows that say what is not in a stripped root, who names it, and what became of it."""

from __future__ import annotations

import os

from . import vdb
from .rules import matches


class Missing:
    """What packages and rules have to do with what is not there; `whole` is the root that `rules` were applied to."""

    def __init__(self, whole: str, rules: list[str]) -> None:
        self._owners = vdb.owners(whole)
        self._matched = {rule: matches(os.fsencode(whole), rule) for rule in rules}

    def row(self, file: str, kind: str, needs: str, was: bytes, **more: str) -> dict[str, str]:
        """One row, all of it text; what does not apply is "".

        file, package   what names it: a file and the package that it is of, or SECTION.KEY of an option
        kind, needs     how, and the name
        was, of, rule   the path that it had in the whole root, that one's package, and what took it out
        at, of          where a library lies that the loader of `program` looks for in `folders` only
        why             the reason, where it is none of these
        """
        path = os.fsdecode(b"/" + was) if was else ""
        rule = next((rule for rule, names in self._matched.items() if _is_among(was, names)), "")
        row = {"file": file, "package": self._owners.get(file, ""), "kind": kind, "needs": needs}
        of = self._owners.get(path or more.get("at", ""), "")
        return {**row, "was": path, "of": of, "rule": rule, "at": "", "program": "", "folders": "", "why": "", **more}


def _is_among(name: bytes, names: set[bytes]) -> bool:
    """Whether `name` is one of `names` or below one."""
    parts = name.split(b"/")
    return any(b"/".join(parts[:end]) in names for end in range(1, len(parts) + 1))
