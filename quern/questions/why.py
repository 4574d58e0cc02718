"""why:NAME: the package that owns a file, the lines of the profile that a package is in the image for, and what would
leave with them; of a file that is not in the image, the strip rule that took it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from quern.errors import ConfigError
from quern.project import Image
from quern.questions.base import tell_machines
from quern.steps.base import Run

if TYPE_CHECKING:
    from quern.questions.because import Because, Condition, Found, Reason

SHOWN = 8  # of one kind, in the text
USAGE = "one of the two: doit why:{image} --path=/usr/bin/PROGRAM, doit why:{image} --package=CATEGORY/PACKAGE"
OLD = "This is the last build; the profile has changed since, and lines are those of now"


def answer(image: Image, run: Run, *, path: str, package: str, json: bool) -> None:
    """Say it; with `json` as one line of JSON. Raises ConfigError, and BuildError with the nearest name."""
    if bool(path) == bool(package):
        raise ConfigError(USAGE.format(image=image.name))
    from quern.questions.because import Records, find_path

    records = Records(image)
    found = find_path(image, run, path) if path else None
    owners = [found.package] if found and found.package else []
    packages = [records.because(cpv) for cpv in (owners if found else records.find(package))]
    if json:
        tell_machines(_record(image.name, found, packages, records.is_current))
        return
    for line in [*_of_path(found), *(line for each in packages for line in _of_package(each))]:
        run.say(line)
    if not records.is_current:
        run.say(OLD)


def _record(name: str, found: Found | None, packages: Sequence[Because], current: bool) -> dict[str, Any]:
    """The answer as `--json` has it."""
    path = found and {**found._asdict(), "rules": [rule._asdict() for rule in found.rules]}
    return {
        "image": name,
        "current": current,
        "path": path,
        "packages": [{**each._asdict(), "reasons": [_plain(reason) for reason in each.reasons]} for each in packages],
    }


def _plain(reason: Reason) -> dict[str, Any]:
    return {**reason._asdict(), "conditions": [each._asdict() for each in reason.conditions]}


def _of_path(found: Found | None) -> Iterator[str]:
    from quern.questions.measured import spelt

    if found is None:
        return
    if found.kind == "folder":
        owners = f"with files of {_some(found.packages)}" if found.packages else "with no package's files"
    else:
        owners = f"of {found.package}" if found.package else "of no package: made while the packages were installed"
    yield f"{spelt(found.path)}: {found.kind or 'a path'} {owners}"
    if found.target:
        where, package = found.target
        yield f"  leads to {spelt(where)}{f', of {package}' if package else ''}"
    if found.in_image:
        return
    yield "  not in the image: taken out by" if found.rules else f"  not in the image: {_unexplained(found)}"
    for rule in found.rules:
        where = rule.place or "not set any more"
        yield f"    {rule.option} ({where}): {rule.rule}"


def _unexplained(found: Found) -> str:
    return "a folder that strip rules left empty" if found.kind else "not in the root either (INSTALL_MASK, or a phase)"


def _of_package(because: Because) -> Iterator[str]:
    if not because.installed:
        users = f": it is there only to build {_some(because.built_with)}" if because.built_with else ""
        yield f"{because.package}: not in the image{users}"
        return
    if not because.reasons:
        yield f"{because.package}: in the image, but no line of the profile asks for it any more"
        return
    yield f"{because.package}: in the image for"
    for reason in because.reasons[:SHOWN]:
        inherited = f" (inherited by {', '.join(reason.inherited)})" if reason.inherited else ""
        yield f"  {reason.place}: {reason.atom}{inherited}"
        if len(reason.packages) > 1:
            yield f"    {' needs '.join(reason.packages)}"
        yield from (f"    {_condition(each)}" for each in reason.conditions)
    if (more := len(because.reasons) - SHOWN) > 0:
        yield f"  and {more} more (--json has all)"
    yield from _of_leaving(because)


def _condition(condition: Condition) -> str:
    flag, state = condition.flag.lstrip("-"), "off" if condition.flag.startswith("-") else "on"
    where = condition.place or "the ebuild's default, or of the profile for all"
    return f"{condition.package} needs {condition.other} because USE flag {flag} is {state} ({where})"


def _of_leaving(because: Because) -> Iterator[str]:
    """What would leave the image without one of the lines, and without all of them."""
    lines = list(dict.fromkeys(reason.place for reason in because.reasons))
    for place in lines[:SHOWN]:
        leaving = next(reason.leaving for reason in because.reasons if reason.place == place)
        yield f"without {place}: {f'{_some(leaving)} would leave' if leaving else 'nothing would leave'}"
    if len(lines) > 1:
        yield f"without all {len(lines)} lines: {_some(because.leaving)} would leave"


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more (--json has all)" if more > 0 else "")
