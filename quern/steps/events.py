"""Lines about a run that programs get as objects."""

from __future__ import annotations


class Event(str):
    """A line for people, empty if they are shown none; `doit -r quern-json` prints its `kind` and `fields` instead.

    package   one package: `package` (its cpv), `state` (begun, built, failed, kept, or elsewhere: another run or image
              has built it), and of those built here `seconds`
    plan      before anything is built: `packages`, the reasons why by cpv, and `total`, how many the image has
    summary   in the end: `seconds`, `counts` of packages by state, and `longest_path`, [cpv, seconds] of packages each
              of which waited for the one before
    """

    kind: str
    fields: dict[str, object]

    def __new__(cls, text: str, kind: str, **fields: object) -> Event:
        """Make an event with the line `text`."""
        event = super().__new__(cls, text)
        event.kind, event.fields = kind, fields
        return event
