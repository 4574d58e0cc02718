"""One failure of emerge, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Why emerge failed; the values are for records and tests."""

    PARENT = "parent missing"
    PROFILE = "profile not usable"
    EBUILD = "ebuild cannot be read"
    UNSATISFIED = "unsatisfied"
    MASKED = "masked"
    NO_BINARY = "no binary package"
    USE = "USE flags needed"
    REQUIRED_USE = "REQUIRED_USE"
    CIRCULAR = "circular dependencies"
    BLOCKER = "blocker"
    SLOT = "slot conflict"
    KEYWORDS = "keywords needed"
    FETCH = "fetch"
    FETCH_RESTRICTED = "fetch restriction"
    CHECKSUM = "checksum"
    MANIFEST = "no Manifest entry"
    COLLISION = "file collision"
    SPACE = "no space"  # or another reason why a disk does not take or give a file
    PHASE = "a phase died"
    POSTINST = "postinst died"


@dataclass(frozen=True)
class Failure:
    """What failed, why, and what to do about it.

    package     category/package-version, or an atom where there is no version yet; None if it is about no package
    phase       the ebuild phase (PMS 9.1 without pkg_ and src_), if one died
    summary     one sentence
    reasons     lines of detail, in emerge's own words
    hint        what to do, one sentence or several lines
    log         the log to read, as emerge named it
    """

    kind: Kind
    package: str | None
    summary: str
    reasons: tuple[str, ...] = ()
    hint: str = ""
    phase: str | None = None
    log: str | None = None

    def __str__(self) -> str:
        """The whole message: summary, reasons indented, hint, log."""
        lines = [self.summary, *(f"  {reason}" for reason in self.reasons)]
        if self.hint:
            lines.append(self.hint)
        if self.log:
            lines.append(f"log: {self.log}")
        return "\n".join(lines)
