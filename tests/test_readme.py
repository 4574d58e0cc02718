from __future__ import annotations

from tests.reference import README, parts_of, reference


def test_the_reference_of_the_options_is_that_of_the_code() -> None:
    assert parts_of(README.read_text())[1] == reference(), "python -m tests.reference --write"
