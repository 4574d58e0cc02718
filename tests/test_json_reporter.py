"""`doit -r quern-json`: one JSON object a line, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quern.reporter import json_line, say
from tests.conftest import tool
from tests.projects import write
from tests.test_emerging import ebuild
from tests.test_reporter import Project

DODO = """
import os
from doit.exceptions import TaskFailed
from doit.tools import run_once

def fails():
    return TaskFailed("it is\\nbroken: " + os.fsdecode(b"\\xff"))

def task_aaa():
    return {"actions": [lambda: None], "uptodate": [run_once]}

def task_bbb():
    return {"actions": [fails]}
"""


@pytest.mark.parametrize("words", [[], ["-n", "2", "-P", "thread"]])
def test_events_of_a_run(tmp_path: Path, words: list[str]) -> None:
    """What runs, what is up to date the second time, and what fails with its text."""
    write(tmp_path, {"dodo.py": DODO})

    def events() -> list[dict[str, str]]:
        command = [sys.executable, "-m", "doit", "run", "-c", "-r", "quern-json", *words]
        ended = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False)
        assert ended.returncode == 1
        found = [json.loads(line) for line in ended.stdout.splitlines()]
        return sorted(found, key=lambda event: event["task"])  # stable: with -n tasks mix

    failed = [
        {"event": "start", "task": "bbb"},
        {"event": "failed", "task": "bbb", "text": "it is\nbroken: \udcff"},
    ]
    assert events() == [{"event": "start", "task": "aaa"}, {"event": "done", "task": "aaa"}, *failed]
    assert events() == [{"event": "kept", "task": "aaa"}, *failed]


def test_lines_of_steps_are_events(capsys: pytest.CaptureFixture[str]) -> None:
    say("json", "   Built 3 packages", "hello")
    said = {"event": "say", "image": "hello", "text": "Built 3 packages"}
    assert capsys.readouterr().out == json_line("say", image="hello", text="Built 3 packages")
    assert json.loads(json_line(**said)) == said


@pytest.mark.parametrize("words", [[], ["-n", "2"]])
def test_events_of_steps(tmp_path: Path, words: list[str]) -> None:
    """Of a real project: each line parses, in child processes of doit -n too; what a step says is between."""
    project = Project(tmp_path)
    status, lines = project.lines("-r", "quern-json", *words, "portage:one")
    events = [json.loads(line) for line in lines]
    assert status == 0
    assert [event["event"] for event in (events[0], events[-1])] == ["start", "done"]
    assert {event["event"] for event in events[1:-1]} == {"say"}
    assert events[1]["image"] == "one"
    assert events[1]["text"].startswith("Successfully loaded")
    assert events[-1]["task"] == "portage:one"
    assert events[-1]["seconds"] > 0
    (project.folder / "profiles/one/parent").write_text("lab:imag\n")
    status, lines = project.lines("-r", "quern-json", *words, "portage:one")
    last = json.loads(lines[-1])
    assert (status, last["event"], last["task"]) == (1, "failed", "portage:one")
    assert "there is no profile lab:imag; did you mean lab:image?" in last["text"]


@pytest.mark.emerge
def test_events_of_packages(tmp_path: Path) -> None:
    """The reasons before, then each package that begins and ends; a failure with the package that has it."""
    tool("scanelf", "pax-utils")
    project = Project(tmp_path)
    project.go_on.touch()
    status, lines = project.lines("-r", "quern-json", "packages:one")
    assert status == 0
    events = [json.loads(line) for line in lines]
    of_packages = [event for event in events if event["event"] in ("plan", "package")]
    seconds = of_packages[-1].pop("seconds")
    assert 0 < seconds < events[-1]["seconds"]
    assert of_packages == [
        {"event": "plan", "image": "one", "packages": {"lab/one-1": ["no binary package yet"]}, "total": 1},
        {"event": "package", "image": "one", "package": "lab/one-1", "state": "begun"},
        {"event": "package", "image": "one", "package": "lab/one-1", "state": "built"},
    ]
    write(project.folder, {"tree/lab/one/one-1.ebuild": ebuild(body="die no")})
    status, lines = project.lines("-r", "quern-json", "packages:one")
    events = [json.loads(line) for line in lines]
    assert status == 1
    assert [event["packages"] for event in events if event["event"] == "plan"] == [{"lab/one-1": ["ebuild changed"]}]
    assert [event["state"] for event in events if event["event"] == "package"] == ["begun", "failed"]
