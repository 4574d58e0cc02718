"""The differences of two images, for people and for machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quern.inventory import Inventory
from quern.questions.compared import Difference, Files
from quern.questions.measured import spelt
from quern.questions.size_text import amount

SHOWN = 15  # packages whose files differ
IDENTICAL = "identical"
ELSE = "the same packages, files and configuration; what differs is times, or how it is packed"


def lines(before: Inventory, after: Inventory, found: Difference) -> Iterator[str]:
    """The answer for people."""
    if found.is_same:
        yield IDENTICAL
        return
    yield f"{_name(before)} -> {_name(after)}"
    if found.packages is None:
        yield "packages: not known of the other"
    elif found.packages:
        yield "packages"
        yield from (f"  {line}" for line in found.packages)
    if found.files:
        old, new = found.sizes
        yield f"files: {amount(old)} -> {amount(new)} ({_signed(new - old)})"
        yield from _files(found.files)
    if found.settings is None:
        yield "configuration: not known of the other"
    elif found.settings:
        yield "configuration"
        yield from (f"  {name} {_value(was)} -> {_value(now)}" for name, (was, now) in found.settings.items())
    if not (found.packages or found.files or found.settings):
        yield ELSE


def _name(inventory: Inventory) -> str:
    short = f" ({inventory.ids[0].removeprefix('sha256:')[:12]})" if inventory.ids else ""
    return f"{inventory.reference}{short}"


def _files(found: dict[str, Files]) -> Iterator[str]:
    for package, files in list(found.items())[:SHOWN]:
        counts = {"added": files.added, "removed": files.removed, "changed": files.changed}
        said = ", ".join(f"{len(paths)} {word}" for word, paths in counts.items() if paths)
        few = [*files.added, *files.removed, *files.changed]
        yield f"  {_signed(files.size):>9}  {package}: {said}{f' ({spelt(few[0])})' if len(few) == 1 else ''}"
    if len(found) > SHOWN:
        yield f"  and {len(found) - SHOWN} more (--json has all)"


def _signed(size: int) -> str:
    return f"{'-' if size < 0 else '+'}{amount(abs(size))}"


def _value(value: Any) -> str:  # noqa: ANN401 (JSON)
    if value is None:
        return "unset"
    return spelt(" ".join(map(str, value)) if isinstance(value, list) else str(value))


def record(before: Inventory, after: Inventory, found: Difference) -> dict[str, Any]:
    """The answer for machines; packages are in the words of a lock that moves, null stands for what is not known.

    {"identical", "before": {"reference", "ids"}, "after", "packages": [line, ...], "bytes": [before, after],
    "files": [{"package", "bytes": more of them, "added": [path, ...], "removed", "changed"}],
    "settings": {name: [before, after]}}
    """

    def text(paths: list[str]) -> list[str]:
        return [spelt(path) for path in paths]

    return {
        "identical": found.is_same,
        "before": {"reference": before.reference, "ids": list(before.ids)},
        "after": {"reference": after.reference, "ids": list(after.ids)},
        "packages": found.packages,
        "bytes": list(found.sizes),
        "files": [
            {
                "package": package,
                "bytes": files.size,
                "added": text(files.added),
                "removed": text(files.removed),
                "changed": text(files.changed),
            }
            for package, files in found.files.items()
        ],
        "settings": found.settings,
    }
