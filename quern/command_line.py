"""What doit makes of its command line before any task is known: words with `=` are variables of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from quern.questions.base import Chore, Question, Text

TAKEN = (
    "doit takes a word with = in it, {value!r}, for one of its own variables; write {option} and its text as one word: "
    "{long}='{start}'"
)


def taken(words: Sequence[str], questions: Iterable[Question | Chore]) -> str:
    """What to say of an option's text that doit has taken for a variable; empty if there is none.

    `words` are the command line. Of `--command 'A=1 sh'` doit's own message would be that the option lacks its text,
    and the task after it could become that.
    """
    asked = {word.partition(":")[0] for word in words}
    options = [option for question in questions if question.name in asked for option in question.options]
    spelt = {each: f"--{option.name}" for option in options if isinstance(option, Text) for each in _spellings(option)}
    for option, value in pairwise(words):
        if option in spelt and "=" in value and not value.startswith("-"):
            first, space, _ = value.partition(" ")
            return TAKEN.format(
                value=value, option=option, long=spelt[option], start=f"{first} ..." if space else first
            )
    return ""


def _spellings(option: Text) -> list[str]:
    return [f"--{option.name}", *([f"-{option.short}"] if option.short else [])]
