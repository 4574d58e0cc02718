"""Failures before anything is built: no solution to what the profile asks for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from quern.errors import display
from quern.portage import failures_ebuilds
from quern.portage.atom import package_of
from quern.portage.failure import Failure, Kind

GENTOO = """\
To use Gentoo's packages, get its tree and name it in quern.conf:
    [portage]
    repositories = /var/db/repos/gentoo"""

STAGE = """\
This machine builds the starter's packages, and those of trees that name in metadata/quern-tools what they use of it.
These repositories name nothing, as Gentoo's does: build in a stage, with [build] driver = docker and an image of a
Gentoo stage as [docker] image."""

_ON_HOST = r'satisfy "[^"\n]+"(?:\.$| have been masked| has unmet)|scheduled for merge\)'  # what is for ROOT says so
NO_QUOTE = "No closing quotation"  # Portage names the line at which the file ends
_UNUSABLE = "Its ebuild is not usable; correct it, or choose another version."
_FOR_ROOT = r"(?P<root> for [^\n]+?)?"


def explain(output: str, available: Sequence[str], starter_only: bool, undeclared: bool = False) -> Failure | None:
    """Find the first cause that applies; see `failures.explain`."""
    failure = _first(output, available, starter_only)
    if failure is None or not undeclared or not re.search(_ON_HOST, output, re.M):
        return failure
    advice = [line for line in failure.hint.splitlines() if "package.provided" not in line]
    return replace(failure, hint="\n".join([*advice, STAGE]))


def _first(output: str, available: Sequence[str], starter_only: bool) -> Failure | None:
    return (
        _parent(output)
        or _profile(output)
        or _masked(output)
        or _use(output)
        or _unsatisfied(output, available, starter_only)
        or _no_binary(output)
        or _required_use(output)
        or _changes(output)
        or _circular(output)
        or _slot_conflict(output)
        or _blocker(output)
    )


def _parent(output: str) -> Failure | None:
    match = re.search(r"ParseError: Parent '(.*)' not found: '(.*)'", output)
    if not match:
        return None
    summary = f"{match[2]}: there is no profile {match[1]}"
    return Failure(Kind.PARENT, None, summary, hint="Correct that line; the profile is not usable until then.")


def _profile(output: str) -> Failure | None:
    """Find a make.defaults that Portage cannot read, or a profile without ARCH, which is all that it may not lack."""
    match = re.search(r'ParseError: "(/.+)", line (\d+): (.*)$', output, re.M)
    if not match and NO_QUOTE in output:
        match = re.search(rf'^"(/.+)", line (\d+): ({NO_QUOTE})$', output, re.M)
    if match:
        summary = f"{display(Path(match[1]))}:{match[2]}: {match[3]}"
        hint = 'Expected NAME="value"; a quotation that is not closed in a line above shows here as well.'
        return Failure(Kind.PROFILE, None, summary, hint=hint)
    if "Your current profile is invalid." not in output:
        return None
    hint = 'Inherit a profile that sets it, with a line REPOSITORY:PATH in `parent`, or write `ARCH="amd64"`'
    return Failure(Kind.PROFILE, None, "the profile sets no ARCH", hint=f"{hint} into make.defaults.")


def _masked(output: str) -> Failure | None:
    match = re.search(rf'All ebuilds that could satisfy "(?P<atom>.+?)"{_FOR_ROOT} have been masked\.', output)
    if not match:
        return None
    masks = re.findall(r"^- (\S+?)(?:::\S+)? \(masked by: (.*)\)$", output, re.M)
    comments = re.findall(r"^# .*$", output[match.end() :], re.M)
    if failure := failures_ebuilds.of_masks(masks, _chain(output), output):
        return failure
    why = failures_ebuilds.unread(output)
    reasons = [f"{package}: {why.get(package, mask)}" for package, mask in masks] + comments + _chain(output)
    hint = _unmask(match["atom"], masks)
    return Failure(Kind.MASKED, match["atom"], f"{match['atom']} is masked", tuple(reasons), hint)


def _unmask(atom: str, masks: Sequence[tuple[str, str]]) -> str:
    """Say which line of the profile accepts a package; `masks` are its versions, each with why it is masked.

    Of several versions it is one that was tested, and no live one (9999), which builds could not fetch.
    """
    package = package_of(atom) or atom
    order = [("9999" in version, "missing keyword" in why, version, why) for version, why in masks]
    _, _, version, mask = min(order, key=lambda each: each[:2], default=(False, False, package, ""))
    keyword = re.search(r"(~\S+) keyword", mask)
    if "invalid:" in mask:
        return _UNUSABLE
    if keyword:
        return f"To accept it, write `{package} {keyword[1]}` into package.accept_keywords of the profile."
    if "missing keyword" in mask:
        return f"It was never tried on this architecture; to try, write `={version} **` into package.accept_keywords."
    if "package.mask" in mask:
        return f"To use it all the same, write `{package}` into package.unmask of the profile."
    if "license" in mask:
        return "To accept the license, add it to ACCEPT_LICENSE in make.defaults of the profile."
    if "EAPI" in mask:
        return "The installed Portage knows no such EAPI: update Portage, or correct the ebuild's EAPI."
    return _UNUSABLE


def _unsatisfied(output: str, available: Sequence[str], starter_only: bool) -> Failure | None:
    match = re.search(rf'there are no ebuilds to satisfy "(?P<atom>.+?)"{_FOR_ROOT}\.\s*$', output, re.M)
    if not match:
        return None
    atom = match["atom"]
    package = package_of(atom) or atom
    where = "" if match["root"] else ", which must run on the machine that builds (BDEPEND)"
    hints = [_nearest(package, available)]
    if starter_only:
        hints += ["The starter repository has: " + " ".join(sorted(available)), GENTOO]
    elif not match["root"]:
        hints.append(
            "Add a repository that has it, or list it in package.provided of the profile if the machine has it."
        )
    else:
        hints.append("Correct the name, or add a repository that has it to [portage] repositories.")
    summary = f"no repository has {atom}{where}"
    return Failure(Kind.UNSATISFIED, atom, summary, tuple(_chain(output)), "\n".join(hint for hint in hints if hint))


def _nearest(package: str, available: Sequence[str]) -> str:
    """Name packages that may have been meant: the same, by another category, or by a similar name."""
    if package in available:
        return f"There is {package}, but in no version or slot that fits."
    name = package.rpartition("/")[2]
    near = [other for other in available if other.rpartition("/")[2] == name]
    near += [other for other in difflib.get_close_matches(package, available, 3, 0.6) if other not in near]
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _no_binary(output: str) -> Failure | None:
    match = re.search(rf'there are no binary packages to satisfy "(?P<atom>.+?)"{_FOR_ROOT}\.\s*$', output, re.M)
    if not match:
        return None
    hint = "It was not built, or with other USE flags; building the packages step again makes it."
    return Failure(
        Kind.NO_BINARY, match["atom"], f"there is no binary package of {match['atom']}", tuple(_chain(output)), hint
    )


def _use(output: str) -> Failure | None:
    match = re.search(
        rf'no (?:ebuilds|binary packages) built with USE flags to satisfy "(?P<atom>.+?)"{_FOR_ROOT}\.', output
    )
    if not match:
        return None
    atom = match["atom"]
    package = package_of(atom) or atom
    details = re.findall(r"^- (\S+?)(?:::\S+)? \((.*)\)$", output, re.M)
    change = next((re.findall(r"[+-]\S+", text) for _, text in details if text.startswith("Change USE:")), [])
    if change:
        flags = " ".join(flag.strip("+,") for flag in change)
        hint = f"Write `{package} {flags}` into package.use of the profile."
    else:
        hint = "No version of it has such a USE flag; what requires it must change."
    reasons = [f"{name}: {text}" for name, text in details] + _chain(output)
    return Failure(Kind.USE, atom, f"{atom} needs other USE flags", tuple(reasons), hint)


def _required_use(output: str) -> Failure | None:
    match = re.search(r'The ebuild selected to satisfy "(?P<atom>.+?)".* has unmet requirements\.', output)
    if not match or "constraints are unsatisfied" not in output:
        return None
    chosen = re.search(r"^- (\S+?)(?:::\S+)? (.*)$", output[match.end() :], re.M)
    wanted = re.search(r"constraints are unsatisfied:\n((?:    .*\n?)+)", output)
    reasons = [f"{chosen[1]} {chosen[2]}".strip()] if chosen else []
    reasons += [f"it wants {line.strip()}" for line in wanted[1].splitlines()] if wanted else []
    package = package_of(match["atom"]) or match["atom"]
    hint = f"Set flags that fit: a line `{package} FLAG -FLAG` in package.use of the profile."
    summary = f"the USE flags of {package} contradict each other (REQUIRED_USE)"
    return Failure(Kind.REQUIRED_USE, match["atom"], summary, (*reasons, *_chain(output)), hint)


def _changes(output: str) -> Failure | None:
    """Read what emerge's autounmask proposes: blocks of `# required by` comments and lines for package.* files."""
    match = re.search(r"The following (USE|keyword|license|mask) changes are necessary to proceed:\n", output)
    if not match:
        return None
    files = {"USE": "package.use", "keyword": "package.accept_keywords", "mask": "package.unmask"}
    file = files.get(match[1])
    block = output[match.end() :].split("\n\n")[0].splitlines()
    lines = [line for line in block if line and not line.startswith((" ", "#"))]
    why = [re.sub(r"::\S+", "", line.removeprefix("# ")) for line in block if line.startswith("#")]
    kind = Kind.USE if match[1] == "USE" else Kind.KEYWORDS if match[1] == "keyword" else Kind.MASKED
    package = package_of(lines[0].split()[0]) if lines else None
    where = f"{file} of the profile" if file else "ACCEPT_LICENSE in make.defaults of the profile"
    hint = f"Write into {where}:" + "".join(f"\n    {line}" for line in lines)
    return Failure(kind, package, f"{package or 'a package'} needs {match[1]} changes", tuple(why), hint)


def _circular(output: str) -> Failure | None:
    match = re.search(r"Error: circular dependencies:\n\n((?:\s*\(.*\n)+)", output)
    if not match:
        return None
    names = re.findall(r"\((\S+?):\S+, .*?\)(.*)", match[1])
    packages = list(dict.fromkeys(name for name, _ in names)) or ["?"]
    reasons = tuple(line.strip() for line in _shorten(match[1]).splitlines())
    hint = "Break the circle: a USE flag that drops one of these dependencies, or package.provided."
    return Failure(
        Kind.CIRCULAR, packages[0], f"packages need each other to be built: {', '.join(packages)}", reasons, hint
    )


def _slot_conflict(output: str) -> Failure | None:
    match = re.search(r"Multiple package instances within a single package slot.*?\n\n(\S+)", output, re.S)
    if not match:
        return None
    block = output[match.end() :].split("\n\n\n")[0]
    lines = [line.strip() for line in _shorten(block).splitlines()]
    reasons = tuple(line for line in lines if line.strip("^ ") and not line.startswith("for "))
    hint = "Only one of them can be installed: mask the other in package.mask, or drop what requires it."
    return Failure(Kind.SLOT, match[1], f"two versions of {match[1]} are required at once", reasons, hint)


def _blocker(output: str) -> Failure | None:
    match = re.search(r'^\[blocks B +\] (\S+) \((".*?" is \w+ blocking (.*))\)$', output, re.M)
    if not match:
        return None
    pulled = [line.strip() for line in re.findall(r"pulled in by\n((?: {4}.*\n)+)", output)]
    summary = f"{match[3]} cannot be installed together with {match[1]}"
    return Failure(Kind.BLOCKER, match[1], summary, (match[2], *pulled), "Drop one of them from the profile.")


def _chain(output: str) -> list[str]:
    """Say who requires what is missing, from the package itself up to the profile."""
    return [
        f"required by {name.split('::')[0]}" for name in re.findall(r'^\(dependency required by "(.+?)"', output, re.M)
    ]


def _shorten(text: str) -> str:
    """Leave out of emerge's package descriptions what is the same for all."""
    text = re.sub(r"\((\S+?):\S+?, [^)]*\)", r"\1", text)
    return re.sub(r' USE=""', "", text)
