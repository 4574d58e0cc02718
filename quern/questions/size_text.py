"""What `doit size:NAME` says, in words and for machines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quern.questions.measured import Measured, Volume, spelt
from quern.strip_rules import DEV, DOC

SHOWN = 15  # packages, files
SHARE = 0.02  # of the image, below which the text leaves a folder out
NOBODYS = "no package's"
MOVED = {
    False: "This is the last build; `doit explain:{}` says what has changed since",
    None: "This is the last build; whether anything has changed since cannot be told now",
}


def lines(name: str, measured: Measured) -> Iterator[str]:
    """The answer for people."""
    total = measured.total
    packed = f", {amount(measured.tarball)} as a tarball" if measured.tarball is not None else ""
    yield f"{amount(total.size)} in {total.files} files{packed}"
    yield from moved(name, measured)
    yield "packages"
    rows = [(volume, package or NOBODYS) for package, volume in measured.packages.items() if volume.files]
    yield from _rows(rows, total)
    if gone := [package for package, volume in measured.packages.items() if not volume.files]:
        yield f"  nothing is left of {', '.join(gone)}"
    yield "folders"
    yield from _tree(measured.folders(), total)
    yield "biggest files"
    rows = [(Volume(size, 1), f"{spelt(path)}  {package or NOBODYS}") for path, size, package in measured.biggest()]
    yield from _rows(rows, total)
    yield from _stripped(measured)


def moved(name: str, measured: Measured) -> list[str]:
    """The sentence to say where it is not known to be what a build would give now."""
    return [] if measured.is_current is True else [MOVED[measured.is_current].format(name)]


def _rows(rows: list[tuple[Volume, str]], total: Volume) -> Iterator[str]:
    for volume, what in rows[:SHOWN]:
        yield f"{_figures(volume, total)}  {what}"
    if (more := len(rows) - SHOWN) > 0:
        yield f"  and {more} more (--json has all)"


def _tree(folders: Mapping[bytes, Volume], total: Volume) -> Iterator[str]:
    """The folders with some share of the image, each below the one that it is in."""
    big = [path for path, volume in folders.items() if volume.size >= SHARE * max(total.size, 1)]
    ranks = {path: rank for rank, path in enumerate(folders)}  # the biggest first, also among those of one folder

    def place(path: bytes) -> list[int]:
        return [ranks[path[:end]] for end in range(1, len(path) + 1) if path[end : end + 1] in (b"/", b"")]

    for path in sorted(big, key=place):
        depth = path.count(b"/") - 1
        yield f"{_figures(folders[path], total)}  {'  ' * depth}{spelt(path)}"


def _figures(volume: Volume, total: Volume) -> str:
    return f"  {amount(volume.size):>8} {100 * volume.size / max(total.size, 1):3.0f} %"


def _stripped(measured: Measured) -> Iterator[str]:
    yield f"removed by [strip]: {amount(measured.removed['bytes'])} in {measured.removed['files']} files"
    rules = sorted(measured.rules, key=lambda rule: (-rule["bytes"], rule["rule"]))
    for rule in rules:
        if rule["paths"]:
            yield f"  {amount(rule['bytes']):>8}  {spelt(rule['rule'])}  {rule['files']} files"
    own, general = idle(measured)
    if own:
        yield f"  strip.paths that match nothing: {', '.join(map(spelt, own))}"
    if general:
        yield f"  not there anyway: {', '.join(general)}"


def idle(measured: Measured) -> tuple[list[str], list[str]]:
    """The rules that matched nothing: those of `[strip] paths`, and those that `doc` and `dev` stand for."""
    rules = [str(rule["rule"]) for rule in measured.rules if not rule["paths"]]
    general = [rule for rule in rules if rule in (*DOC, *DEV)]
    return [rule for rule in rules if rule not in general], general


def amount(size: int) -> str:
    """Bytes for people, in decimal units."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def record(name: str, measured: Measured) -> dict[str, Any]:
    """The answer for machines: sizes in bytes, everything biggest first.

    {"image", "bytes", "files", "tarball": bytes or null, "current": true, false, or null where it cannot be told,
    "packages": [{"package", "bytes", "files"}], "folders": [{"path", "bytes", "files"}], "content": [{"path", "bytes",
    "package"}], "strip": {"removed": {"bytes", "files"}, "rules": [{"rule", "paths", "bytes", "files"}]}}. What no
    package owns has null for one; what of a name is no UTF-8 is written as \\xNN.
    """

    def rows(volumes: Iterable[tuple[Any, Volume]], key: str) -> list[dict[str, Any]]:
        return [{key: _text(what), "bytes": volume.size, "files": volume.files} for what, volume in volumes]

    return {
        "image": name,
        "bytes": measured.total.size,
        "files": measured.total.files,
        "tarball": measured.tarball,
        "current": measured.is_current,
        "packages": rows(measured.packages.items(), "package"),
        "folders": rows(measured.folders().items(), "path"),
        "content": [
            {"path": _text(path), "bytes": size, "package": package or None}
            for path, size, package in measured.biggest()
        ],
        "strip": {"removed": dict(measured.removed), "rules": [dict(rule) for rule in measured.rules]},
    }


def _text(what: bytes | str) -> str | None:
    return (what.decode(errors="backslashreplace") if isinstance(what, bytes) else what) or None
