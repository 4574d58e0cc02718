"""README.rst and the manual in parts: literal blocks by section, commands, and the files that a block shows.

A document is "README", or a topic of the manual.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from quern.manual import FOLDER, TOPICS
from tests.building import CHECKOUT, TIME, Project
from tests.dockerd import Dockerd

DOCUMENTS = {"README": CHECKOUT / "README.rst"} | {topic: FOLDER / f"{topic}.rst" for topic in TOPICS}

TITLE = re.compile(r"^(.+)\n[=-]{3,}\n", re.MULTILINE)
BLOCK = re.compile(r"^(?!\.\. ).*::\n\n((?:(?: {4}.*)?\n)+)", re.MULTILINE)
COMMAND = re.compile(r"``((?:doit|quern-builder|python -m|pytest) [^`]+)``")
FILE = re.compile(r"^# file: (.+)\n", re.MULTILINE)

# what of an output is another one on another machine or day
VARYING = [
    (re.compile(r"sha256:[0-9a-f]+(?:\.\.\.)?"), "sha256:DIGEST"),
    (re.compile(r"\([0-9a-f]{12}\)"), "(ID)"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r":\d{8}-\d{6}\.log"), ":TIME.log"),
    (re.compile(r"[-+]?\d+(?:\.\d+)? (?:[kM]?B|s|min)\b"), "NUMBER"),
    (re.compile(r" +"), " "),  # columns are as wide as the numbers
]


def sections(document: str) -> dict[str, str]:
    """Split a document: the text below each title, by title."""
    _, *parts = TITLE.split(DOCUMENTS[document].read_text())
    return dict(zip(parts[::2], parts[1::2], strict=True))


def blocks(document: str, title: str) -> list[str]:
    """The literal blocks of a section, as they stand."""
    return [f"{textwrap.dedent(found).strip()}\n" for found in BLOCK.findall(sections(document)[title])]


def all_blocks(document: str) -> list[str]:
    """The literal blocks of a document, as they stand."""
    return [text for title in sections(document) for text in blocks(document, title)]


def files(text: str) -> tuple[str, dict[str, str]]:
    """What is above the first `# file: NAME` of a block, and the files below such lines, by name."""
    above, *parts = FILE.split(text)
    return above.strip(), {name: f"{text.strip()}\n" for name, text in zip(parts[::2], parts[1::2], strict=True)}


def commands() -> list[str]:
    """List the commands in the text of all documents, each once, without synopses (`[--json]`)."""
    text = "\n".join(BLOCK.sub("", path.read_text()) for path in DOCUMENTS.values())
    found = dict.fromkeys(" ".join(command.split()) for command in COMMAND.findall(text))
    return [command for command in found if " [" not in command]


def shape(text: str) -> list[str]:
    """The lines of an output without what varies."""
    for pattern, name in VARYING:
        text = pattern.sub(name, text)
    return [line.strip() for line in text.splitlines()]


def shell(project: Project, script: str, status: int = 0, variables: Mapping[str, str] | None = None) -> str:
    """Run lines as they are pasted into a shell, in a project that has a virtual environment; give what they print.

    Without the times, as Project.doit.
    """
    environment = project.folder / ".venv"
    if not environment.is_symlink():
        environment.symlink_to(sys.prefix)
    path = f"{environment}/bin:{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-c", f"set -e\n{script}"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **project.variables, **(variables or {}), "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ran.returncode == status, f"{script}: exit {ran.returncode}\n{ran.stdout[-6000:]}"
    return TIME.sub("", ran.stdout)


def answer(output: str, task: str) -> str:
    """What a task has said, without the name of its image."""
    said = output.split(f".  {task}\n")[1]
    return re.sub(rf"^   {task.partition(':')[2]}: ", "", said, flags=re.MULTILINE)


def docker_command(daemon: Dockerd, line: str, folder: Path) -> str | None:
    """Run a `docker` line with a daemon of the tests; give what it prints, or None where there is no such command.

    Debian 13 has the command in a package of its own, which nothing here needs.
    """
    if shutil.which("docker") is None:
        return None
    environment = {**os.environ, "DOCKER_HOST": daemon.address}
    argv = ["sh", "-c", line]
    return subprocess.run(
        argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
