from __future__ import annotations

import pytest

from quern.questions.bill import Bill, _name_and_address, identity

BILL = Bill("one:1", 0, "sha256:1", "sha256:2", "sha256:3", ("", ""), [])


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ("", "")),
        ("Some One <one@example.org>", ("Some One", "one@example.org")),
        ("<one@example.org>", ("one@example.org", "one@example.org")),
        ("Some One", ("Some One", "")),
        ("one@example.org", ("one@example.org", "")),
        ("A < B", ("A < B", "")),
    ],
)
def test_name_and_address(text: str, parts: tuple[str, str]) -> None:
    assert _name_and_address(text) == parts


def test_identity_is_that_of_all_it_says() -> None:
    assert identity(BILL) == identity(BILL)
    assert identity(BILL) != identity(BILL._replace(epoch=1))
