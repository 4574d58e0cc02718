"""quern-builder manual: topics, their list, a wrong name, the pager."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from quern import manual
from tests.building import CHECKOUT
from tests.projects import write
from tests.readme import DOCUMENTS
from tests.test_cli import quern_builder

COMMAND = [sys.executable, "-c", "import sys; from quern.cli import main; sys.exit(main())", "manual"]


@pytest.mark.parametrize("topic", manual.TOPICS)
def test_a_topic_is_printed_as_it_stands(topic: str) -> None:
    ran = quern_builder("manual", topic)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (CHECKOUT / f"quern/manual/{topic}.rst").read_text()


def test_without_a_topic_the_topics_are_listed() -> None:
    ran = quern_builder("manual")
    assert (ran.returncode, ran.stderr) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in ran.stdout.splitlines())
    assert rows["ci"] == "Build in CI"
    assert set(rows) == {path.stem for path in (CHECKOUT / "quern/manual").glob("*.rst")}


def test_readme_lists_the_same_topics() -> None:
    """With links that work on the web."""
    text = DOCUMENTS["README"].read_text()
    rows = re.findall(r"^`([a-z-]+)`_ +(.+)$", text, re.MULTILINE)
    assert [f"{topic:13}  {title}" for topic, title in rows] == manual.contents().splitlines()
    for topic, target in re.findall(r"^\.\. _(.+): (quern/.+)$", text, re.MULTILINE):
        assert CHECKOUT / target == DOCUMENTS[topic]


def test_topics_that_the_text_names_exist() -> None:
    text = " ".join("".join(path.read_text() for path in DOCUMENTS.values()).split())
    named = set(re.findall(r"``quern-builder manual ([a-z-]+)``", text))
    assert named
    assert named <= set(manual.TOPICS)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("isolaton", "no topic 'isolaton' in the manual; did you mean isolation?"),
        ("x", f"no topic 'x' in the manual; there are: {', '.join(manual.TOPICS)}"),
        ("../cli", f"no topic '../cli' in the manual; there are: {', '.join(manual.TOPICS)}"),
    ],
)
def test_an_unknown_topic(word: str, message: str) -> None:
    ran = quern_builder("manual", word)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == f"quern-builder: error: {message}\n"


def test_help_has_the_command() -> None:
    assert "quern-builder manual [-h] [TOPIC]" in quern_builder("--help").stdout
    assert "TOPIC" in quern_builder("manual", "--help").stdout


def test_a_reader_that_stops_early_is_no_error() -> None:
    """The reader has ended before the first line is written."""
    line = 'set -o pipefail; "$@" configuration | true'
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    ran = subprocess.run(["bash", "-c", line, "-", *COMMAND], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def on_a_terminal(pager: str, **variables: str) -> str:
    """Print a topic on a terminal, and return what comes out there."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "TERM": "xterm", "PAGER": pager, **variables}
    process = subprocess.Popen([*COMMAND, "ci"], env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    read = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not chunk:
            break
        read += chunk
    os.close(ours)
    assert process.wait() == 0
    return read.decode().replace("\r\n", "\n")


TEXT = (CHECKOUT / "quern/manual/ci.rst").read_text()


def test_a_terminal_gets_a_pager(tmp_path: Path) -> None:
    program = write(tmp_path, {"pager": '#!/bin/sh\necho "paged: $1 $LESS"\ncat\n'}) / "pager"
    program.chmod(0o755)
    assert on_a_terminal(f"{program} -x") == f"paged: -x FRX\n{TEXT}"
    assert on_a_terminal(str(program), LESS="S") == f"paged:  S\n{TEXT}"


@pytest.mark.parametrize("pager", ["", "/absent/less", "an 'open quotation"])
def test_without_a_pager_a_terminal_gets_the_text(pager: str) -> None:
    assert on_a_terminal(pager) == TEXT


def test_a_dumb_terminal_gets_the_text() -> None:
    assert on_a_terminal("false", TERM="dumb") == TEXT


def test_no_pager_where_stdout_is_no_terminal() -> None:
    assert quern_builder("manual", "ci", variables={"PAGER": "false"}).stdout == TEXT


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_sound_restructuredtext(name: str) -> None:
    """docutils' strictest check: a table, link or list that is broken would be shown as plain text."""
    argv = [sys.executable, "-m", "docutils", "--strict", "--report=info", str(DOCUMENTS[name]), os.devnull]
    ran = subprocess.run(argv, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
