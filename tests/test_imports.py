"""No module of quern needs itself, by whatever way: which modules import which, as their source says."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.building import CHECKOUT

SKIPPED = ("starter", "data")


def modules() -> dict[str, Path]:
    """The modules of quern, by name."""
    found = {}
    for path in (CHECKOUT / "quern").rglob("*.py"):
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        if not set(parts) & set(SKIPPED):
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules among `known` that a module imports when it is loaded or used; not those for types alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield from (each for each in (inner if inner in known else base,) if each in known)


def test_no_modules_import_each_other() -> None:
    """Not by an import inside a function either: such a circle only shows when the function is called."""
    known = modules()
    assert len(known) > 100
    graph = {name: {each for each in imported(name, path, known) if each != name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))
