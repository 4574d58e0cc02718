"""quern.portage.unknown_accounts: which account a command seems to have missed."""

from __future__ import annotations

import pytest

from quern.portage.unknown_accounts import HINT, hint


@pytest.mark.parametrize(
    ("output", "kind", "name"),
    [
        ("x\nchown: invalid user: \u2018www-data\u2019\n", "user", "www-data"),
        ("chown: invalid group: 'nobody:nogroup'", "group", "nobody:nogroup"),
        ("chgrp: invalid group: \u2018tty\u2019", "group", "tty"),
        ("install: invalid user \u2018games\u2019", "user", "games"),
        ("chown: unknown user games", "user", "games"),  # busybox
        ("fowners: invalid user in /w/image/etc/passwd: lab:lab\n", "user", "lab:lab"),
        ("KeyError: \"getpwnam(): name not found: 'www-data'\"", "user", "www-data"),
        ("KeyError: \"getgrnam(): name not found: 'www-data'\"", "group", "www-data"),
    ],
)
def test_what_is_missing(output: str, kind: str, name: str) -> None:
    assert hint(output) == HINT.format(kind=kind, name=name)


@pytest.mark.parametrize("output", ["chown: changing ownership of 'x': Operation not permitted", "invalid user"])
def test_other_failures(output: str) -> None:
    assert hint(output) == ""
