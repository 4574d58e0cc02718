"""quern.portage.tracebacks: what a message says of the traceback of a program that was run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from quern.portage.tracebacks import condensed, plain

CHAINED = """
def lose(depth):
    try:
        if depth:
            lose(depth - 1)
        else:
            open("/nowhere/at all")
    except OSError as error:
        {how}
lose(20)
"""


@pytest.mark.parametrize("how", ["raise KeyError('lost') from error", "raise KeyError('lost')", "raise"])
@pytest.mark.parametrize("before", ["", " * ", "|   "])
def test_of_a_traceback_its_exceptions_stay(how: str, before: str) -> None:
    """As this Python prints it, in emerge's own frame too."""
    ran = subprocess.run([sys.executable, "-c", CHAINED.format(how=how)], capture_output=True, text=True)
    assert "Traceback" in ran.stderr
    output = "".join(f"{before}{line}\n" for line in f"begun\n{ran.stderr}ended".splitlines())
    said = [line.removeprefix(before).strip() for line in condensed(output).splitlines()]
    of_all = {"FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at all'", "KeyError: 'lost'"}
    assert {line for line in said if line} <= {"begun", *of_all, "ended"}
    assert said[-1] == "ended"
    assert of_all & set(said)


def test_a_traceback_that_was_cut_off() -> None:
    text = '    write(x)\n  File "/lib/x.py", line 3, in write\n    f.write(x)\n    ^^^^^^^^^^\nOSError: full\n'
    assert condensed(text) == "    write(x)\nOSError: full\n"


def test_the_rest_stays_as_it_is() -> None:
    text = (
        '  File "x.py", line 3\n    foo(\n       ^\nSyntaxError: never closed\n\n * ERROR: lab/x-1 failed:\n *   no\n'
    )
    assert condensed(text) == text
    assert condensed("") == ""


def test_what_the_machine_refuses_is_said_plainly() -> None:
    full = "No space left on device"
    assert plain(f"OSError: [Errno 28] {full}: '/w/x'") == f"/w/x: {full}"
    assert plain(f"OSError: [Errno 28] {full}: b'/w/x' -> b'/w/y'") == f"/w/y: {full}"
    assert plain(f"!!! Portage gave up: OSError: [Errno 28] {full}: '/w/x'") == f"/w/x: {full}"
    assert plain(f"portage.exception.Full: [Errno 28] {full}") == full
    assert plain("tar: x: Cannot write: No space left on device") == "tar: x: Cannot write: No space left on device"
