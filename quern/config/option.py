"""One option: its names, type, default and parser, without any of its values."""

from __future__ import annotations

from typing import NamedTuple

from quern.config.values import Parser


class Option(NamedTuple):
    """One option of the table.

    default     text as in a file; "" stands for `empty`
    parse       from text to value
    empty       the value when there is neither text nor default
    multiline   may its text have several lines?
    aliases     other spellings of the key, in files and in variables
    variable    a variable that is not ours and is read too, after our own
    shown       what the template shows as default, where that is not `default`
    """

    section: str
    key: str
    kind: str
    default: str
    doc: str
    parse: Parser
    empty: object = None
    multiline: bool = False
    aliases: tuple[str, ...] = ()
    variable: str | None = None
    shown: str | None = None

    @property
    def name(self) -> str:
        """How messages and getconf call it: SECTION.KEY."""
        return f"{self.section}.{self.key}"

    @property
    def field(self) -> str:
        """The name of its field in `settings`."""
        return self.key.replace("-", "_")

    @property
    def variables(self) -> tuple[str, ...]:
        """Our environment variables for it, as getconf names them; the first one is to be shown."""
        return tuple(f"QUERN_{self.section}_{key}".upper() for key in (self.key, *self.aliases))
