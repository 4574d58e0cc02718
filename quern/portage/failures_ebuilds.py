"""Ebuilds that Portage could not read: where and why. emerge itself calls every one "masked by: corruption".

Sources: what bash and ebuild.sh print; doebuild.py (Manifests) and _metadata_invalid.py (EAPI) of Portage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from quern.errors import display
from quern.portage.failure import Failure, Kind

CORRUPTION = "corruption"
NO_ECLASS = re.compile(r"(\S+)\.eclass could not be found by inherit\(\)")

_DIED = re.compile(r"^ \* ERROR: (\S+?)(?:::\S+)? failed \(depend phase\):\n((?: \*(?! ERROR: ).*\n?)*)", re.M)
_SOURCING = re.compile(r"error sourcing ebuild|died sourcing ")  # the reason is what bash has printed before
_BASH = re.compile(r"^(?:Calculating .*?\.\.\.)?(/.+\.(?:ebuild|eclass)): line (\d+): (?!warning:)(.+)$", re.M)
_UNREADABLE = re.compile(r"^/.+/ebuild\.sh: line \d+: (/.+\.(?:ebuild|eclass)): (.+)$", re.M)
_FRAME = re.compile(r"^ \* +(\S+), line +(\d+):  Called (\w+)(?: '(.*?)')?", re.M)
_EXIT = re.compile(r"^!!! aux_get\(\): metadata phase for package '(.+?)' failed with unexpected returncode", re.M)
_EAPI = re.compile(r"EAPI assignment in ebuild '(.+?)(?:::\S+)?' does not conform.*?:\s+((?:valid|bash).*? \d+)\b")
_MANIFEST = re.compile(r"^ \* (Manifest not found|Missing digest) for '(.+)'$", re.M)
_DIGEST = re.compile(r"^ \* Digest verification failed:\n \* (.+)\n \* Reason: (.+)$", re.M)
_HELPER = re.compile(r"^(?:\[\S+\] bash: line 1|/.+/ebuild\.sh: line \d+): (/.+/bin/[\w-]+\.sh): (.+)$", re.M)
_CORRUPT = re.compile(rf"^- (\S+?)(?:::\S+)? \(masked by: {CORRUPTION}\)$", re.M)
_GAVE_UP = re.compile(r"CorruptionKeyError: '(.+)'")
_SRC_URI = re.compile(r"^!!! Portage gave up: ValueError: (/.+\.ebuild): (SRC_URI: .+)$", re.M)  # worker/resolve.py
# what Portage passes over and goes on: FILE, and what is wrong with it
_NAME = re.compile(r"^Invalid ebuild name: (.+)$", re.M)
_SETTING = re.compile(r'^"(/.+)", line (\d+): (.+)$', re.M)
_LINE = re.compile(r"^--- (Invalid .+)$", re.M)

# what a reason looks like, and what to do about it
_HINTS = (
    (NO_ECLASS.pattern, "Correct the name, or add the repository that has this eclass to [portage] repositories."),
    (
        "External commands disallowed",
        "Outside of functions an ebuild may set variables (NAME=value, without spaces) and call `inherit`, but it may "
        "run no program.",
    ),
    ("Portage cannot run", "Whoever builds must be able to read and run it; or install Portage anew."),
    ("Permission denied", "Whoever builds must be able to read it: chmod a+r"),
    ("unexpected EOF|end of file", "Above that line a quote, a brace, an `if` or the like is not closed."),
    ("syntax error", "Correct that line, or what begins above it and is not closed."),
    (
        "Manifest",
        "`ebuild FILE.ebuild manifest` writes the Manifest; with `thin-manifests = true` in metadata/layout.conf of "
        "the repository, it lists source files only.",
    ),
    ("EAPI assignment", "Write EAPI=8, say, as the first line that is neither blank nor a comment (PMS 7.3.1)."),
)
_CORRECT = "Correct it, or choose another version."


def explain(output: str) -> Failure | None:
    """Explain why the resolver gave up, if that was an ebuild that it could not read."""
    why = unread(output)
    given_up = _GAVE_UP.search(output)
    cpv = given_up[1] if given_up else next(iter(why), "")
    return _failure(cpv, why[cpv], ()) if cpv in why else None


def of_masks(masks: Sequence[tuple[str, str]], chain: Sequence[str], output: str) -> Failure | None:
    """Explain a package whose first version is masked because it cannot be read.

    masks   (cpv, why it is masked) of its versions
    chain   lines that say what requires the package
    """
    cpv, mask = masks[0] if masks else ("", "")
    why = unread(output)
    known = [why[each] for each, reason in masks if reason == CORRUPTION and each in why]  # they may have one Manifest
    if mask != CORRUPTION or not known:
        return None
    others = [f"{other}: {why.get(other, reason)}" for other, reason in masks[1:]]
    return _failure(cpv, why.get(cpv, known[0]), (*others, *chain))


def left_out(output: str) -> list[str]:
    """Say what Portage has passed over though it found a solution: ebuilds, and lines of profiles."""
    lines = [f"{cpv} is left out: {why}" for cpv, why in unread(output).items()]
    for name in _NAME.findall(output):
        path = Path(name)
        lines.append(f"{display(path)} is left out: expected a name {path.parent.name}-VERSION.ebuild")
    lines += [f"{display(Path(name))}:{line}: {reason}" for name, line, reason in _SETTING.findall(output)]
    return list(dict.fromkeys([*lines, *_LINE.findall(output)]))


def unread(output: str) -> dict[str, str]:
    """Why each ebuild (by cpv) could not be read, as FILE:LINE: REASON as far as that is known."""
    found = {_cpv(path): f"{display(Path(path))}: {reason}" for path, reason in _SRC_URI.findall(output)}
    for what, path in _MANIFEST.findall(output):
        reason = "there is no Manifest" if what == "Manifest not found" else "it is not in its Manifest"
        found[_cpv(path)] = f"{display(Path(path))}: {reason}"
    for path, reason in _DIGEST.findall(output):
        found[_cpv(path)] = f"{display(Path(path))}: not as its Manifest describes it: {reason}"
    begin = 0
    for died in _DIED.finditer(output):
        found.setdefault(died[1], _reason(output[begin : died.start()], died))
        begin = died.end()
    for cpv, reason in _EAPI.findall(output.replace("\n * ", " ")):
        found.setdefault(cpv, f"EAPI assignment: {reason.removeprefix('valid EAPI assignment ')}")
    for cpv in _EXIT.findall(output):
        found.setdefault(cpv, "the ebuild or an eclass ends bash (calls `exit`) outside of functions")
    if helper := _HELPER.search(output):  # then Portage can read none
        why = f"Portage cannot run its own {display(Path(helper[1]))}: {helper[2]}"
        return {**dict.fromkeys(found, why), **dict.fromkeys(_CORRUPT.findall(output), why)}
    return found


def without(output: str) -> str:
    """What emerge printed, without its messages on ebuilds that cannot be read: it goes on without these."""
    return _DIED.sub("", output)


def _cpv(ebuild: str) -> str:
    path = Path(ebuild)
    return f"{path.parent.parent.name}/{path.stem}"


def _reason(before: str, died: re.Match[str]) -> str:
    """Where and why bash ended; `before` is what was printed since the last ebuild that could not be read."""
    text, _, frames = died[2].partition(" * Call stack:\n")
    said = " ".join(line.removeprefix(" *").strip() for line in text.splitlines()).strip()
    places = _FRAME.findall(frames)
    paths = {Path(path).name: path for _, _, called, path in places if called in ("source", "__qa_source")}
    own = [f"{display(Path(paths[name]))}:{line}" for name, line, _, _ in places if name in paths]
    place = f"{own[-1]}: " if own else ""
    if not _SOURCING.match(said):
        return f"{place}{said}"
    if bash := _BASH.search(before):
        return f"{display(Path(bash[1]))}:{bash[2]}: {bash[3]}"
    if closed := _UNREADABLE.search(before):
        return f"{display(Path(closed[1]))}: {closed[2]}"
    return f"{place}{said}: the last command outside of its functions fails"


def _failure(cpv: str, why: str, reasons: Sequence[str]) -> Failure:
    hint = next((hint for pattern, hint in _HINTS if re.search(pattern, why)), _CORRECT)
    return Failure(Kind.EBUILD, cpv, f"{cpv} cannot be used: {why}", tuple(reasons), hint)
