"""Portage's resolver, forked for each question from a process that has Portage imported: a tenth of the time.

python -I resolver.py CHECKOUT      answers lines of JSON on stdin with lines of JSON on stdout
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 300  # seconds; a second or two is usual


class Resolver:
    """The process, started with the environment of the first question: Portage reads some of it when imported."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, environment: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What the worker's verb `resolve` answers."""
        if self.process is None:
            argv = [sys.executable, "-I", __file__, str(CHECKOUT)]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(
                argv, env=dict(environment), stdin=pipe, stdout=pipe, text=True, start_new_session=True
            )
        questions, answers = self.process.stdin, self.process.stdout
        assert questions is not None
        assert answers is not None
        questions.write(json.dumps([dict(environment), dict(parameters)]) + "\n")
        questions.flush()
        if not select.select([answers], [], [], PATIENCE)[0]:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.close()
            raise RuntimeError(f"the resolver gave no answer in {PATIENCE} seconds")
        answer = json.loads(answers.readline())
        if not isinstance(answer, dict):
            raise RuntimeError(f"the resolver answers {answer!r}")
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process:
            self.process.communicate()
        self.process = None


def main() -> None:
    """Answer until there is no more question."""
    sys.path.insert(0, sys.argv[1])
    os.umask(0o022)
    questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for line in questions:
        environment, parameters = json.loads(line)
        modules, answer = _forked(environment, parameters)
        for module in modules:  # what the first needed, all the others will find imported
            importlib.import_module(module)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _forked(environment: dict[str, str], parameters: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer(environment, parameters, writing)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else [[], "died"]


def _answer(environment: dict[str, str], parameters: dict[str, Any], writing: int) -> None:
    """In the child: resolve, answer, and end."""
    try:
        os.environ.clear()
        os.environ.update(environment)
        answer = importlib.import_module("quern.worker.resolve").resolve(**parameters)
        modules = sorted(name for name in sys.modules if name.partition(".")[0] in ("portage", "_emerge"))
        with os.fdopen(writing, "w") as stream:
            json.dump([modules, answer], stream)
    except Exception:  # whatever it is, the one who asked shows it
        with os.fdopen(writing, "w") as stream:
            json.dump([[], traceback.format_exc()], stream)
    finally:
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
