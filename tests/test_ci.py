"""The part of .ci/run that can go wrong: which lines of README it runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / ".ci/run"

TEXT = """\
Title
=====

Words, and a list::

    first 1
      first 2

    first 4

Text :: in between. A note:

.. note::

    not a block

.. code-block:: sh
    :name: x

    second 1
    printf '%s\\n' "$x" \\
        y
Text.

  In a list item::

    third

  ::

    fourth"""


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "first 1\n  first 2\n\nfirst 4\n"),
        (2, "second 1\nprintf '%s\\n' \"$x\" \\\n    y\n"),
        (3, "third\n"),
        (4, "fourth\n"),
        (5, ""),
    ],
)
def test_block(tmp_path: Path, number: int, expected: str) -> None:
    readme = tmp_path / "README.rst"
    readme.write_text(TEXT)
    ran = subprocess.run([RUN, "--print", str(number), readme], stdout=subprocess.PIPE, text=True, check=True)
    assert ran.stdout == expected


@pytest.mark.parametrize("number", [1, 2])
def test_readme_opens_with_two_blocks_of_shell(number: int) -> None:
    ran = subprocess.run([RUN, "--print", str(number)], stdout=subprocess.PIPE, text=True, check=True)
    assert ("doit image:musl-python3", "pytest")[number - 1] in ran.stdout
    subprocess.run(["bash", "-n"], input=ran.stdout, text=True, check=True)
