from __future__ import annotations

import re

from quern.questions import CHORES, QUESTIONS
from quern.steps.chain import TASKS
from tests.reference import README, parts_of, reference


def test_the_reference_of_the_options_is_that_of_the_code() -> None:
    assert parts_of(README.read_text())[1] == reference(), "python -m tests.reference --write"


def test_the_tasks_are_those_of_the_code() -> None:
    named = set(re.findall(r"^``doit (\w+)(?::NAME)?`` ", README.read_text(), re.MULTILINE))
    asked = {question.name for question in QUESTIONS} | {chore.name for chore in CHORES}
    assert named == {step.name for step in TASKS} | asked
