"""Linter and type checker, and what they cannot say: the worker needs nothing but an old Python."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
WORKER = sorted((CHECKOUT / "quern/worker").glob("*.py"))

# imported where they are, besides the standard library: Portage by the verbs that are about it
OPTIONAL = {"portage", "_emerge"}


@pytest.mark.parametrize("command", [["ruff", "check", "--no-cache"], ["mypy"]], ids=["ruff", "mypy"])
def test_clean(command: list[str]) -> None:
    ran = subprocess.run([sys.executable, "-m", *command], cwd=CHECKOUT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


# preexec_fn: a child may find a lock held for ever by a thread that it does not have; sync: waits for every disk
UNWANTED = {"preexec_fn", "sync"}


def test_nothing_unsafe_is_called() -> None:
    for path in (CHECKOUT / "quern").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {node.arg for node in nodes if isinstance(node, ast.keyword)}
        names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        assert not names & UNWANTED, path


@pytest.mark.parametrize("path", WORKER, ids=lambda path: path.name)
def test_worker_needs_only_python_39(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imported.add(str(node.module).partition(".")[0])
    assert imported <= OPTIONAL | sys.stdlib_module_names
