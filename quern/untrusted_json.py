"""JSON that somebody else wrote: a daemon's answer, or a file of an archive."""

from __future__ import annotations

import json
from typing import Any

SIZE = 4 << 20  # bytes; what containers/image and docker's registry allow a manifest
DEPTH = 32  # an image's configuration has 4 levels


class Excessive(ValueError):
    """A value that is bigger or deeper than anything that has to be said."""


def parse(data: bytes) -> Any:  # noqa: ANN401 (JSON)
    """The value of a JSON text. Raises ValueError, with the reason; Excessive if it is too big or nested too deeply."""
    if len(data) > SIZE:
        raise Excessive(f"JSON of more than {SIZE >> 20} MiB")
    try:
        value = json.loads(data)
    except RecursionError:
        raise Excessive(f"JSON of more than {DEPTH} levels") from None
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    _check(value)
    return value


def _check(value: Any) -> None:  # noqa: ANN401
    """Raise Excessive for what cannot be written again: too many levels, or text that UTF-8 cannot say."""
    level, depth = [value], 0
    while level:
        if depth > DEPTH:
            raise Excessive(f"JSON of more than {DEPTH} levels")
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += each.keys()
                below += each.values()
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and not each.isascii():
                try:
                    each.encode()
                except UnicodeEncodeError:
                    raise Excessive("JSON with text that is not Unicode") from None
        level, depth = below, depth + 1
