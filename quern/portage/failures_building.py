"""Failures while packages are fetched, built or merged."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from quern.portage.failure import Failure, Kind
from quern.portage.tracebacks import plain

_CONTEXT = 4  # lines of a build's own errors that are shown
_LAST = 8  # lines of a package's log that are shown where nothing better is known
_FREE_SOME = "Free some, or set [build] workdir to a folder on a larger disk."
_GIVEN_UP = r"^!!! Couldn't download '(.*)'\. Aborting\.$"
_NO_FILE = r"failed|error|unable|timed out|no data received|did not answer"  # what wget and worker/fetch.py say
_DIED = "\n * ERROR: "
_FULL = r"No space left on device|Disk quota exceeded"  # ENOSPC, EDQUOT: errno(3)
_FAULTY = r"Input/output error|Read-only file system"  # EIO, EROFS
_LITTLE = 50 << 20  # bytes; with less than this free, that is the likely reason


class Machine(NamedTuple):
    """What is known of a failure besides the output.

    `log` gives a log's text by its path; `free` are the bytes that are free where `folder` is, the work folder.
    """

    log: Callable[[str], str]
    free: int
    folder: str = ""


def completed(failure: Failure, machine: Machine) -> Failure:
    """Add what the package's log says of a full disk, or else ends with, and that the disk is nearly full.

    A full disk is often not named: tar dies of the pipe behind it, a linker of SIGBUS.
    """
    log = machine.log(failure.log) if failure.kind is Kind.PHASE and failure.log else ""
    if full := _space(log):
        failure = replace(failure, kind=Kind.SPACE, reasons=(*failure.reasons, *full.reasons), hint=full.hint)
    if failure.kind is Kind.SPACE and machine.folder and "/" not in "".join(failure.reasons):
        return replace(failure, reasons=(*failure.reasons, f"the work folder is {machine.folder}"))
    if failure.kind is not Kind.PHASE:
        return failure
    said = [line.strip() for line in log.splitlines()]
    reasons = failure.reasons or tuple([line for line in said if line.strip("* ")][-_LAST:])
    return replace(failure, reasons=reasons, hint=failure.hint + room(machine.free).rstrip())


def room(free: int) -> str:
    """A line about `free` bytes in the work folder's file system; empty if they are enough."""
    if free >= _LITTLE:
        return ""
    return f"Only {free >> 20} MiB are free in the work folder's file system. {_FREE_SOME}\n"


def explain(output: str) -> Failure | None:
    """Find the first cause that applies; see `failures.explain`."""
    return (
        _space(output)
        or _no_manifest_entry(output)
        or _checksum(output)
        or _binary_package(output)
        or _fetch_restricted(output)
        or _fetch(output)
        or _collision(output)
        or _died(output)
        or _faulty(output)
        or _died_silently(output)
    )


def _failed(output: str) -> tuple[str | None, str | None]:
    """Find the package that emerge gave up on, and its log (the path is on the next line that has one).

    Where emerge only fetches, there is none.
    """
    match = re.search(
        r"^>>> Failed to (?:emerge|install) (\S+?)(?:::\S+)?(?: (?:for|to) .*?)?(, Log file:)?$", output, re.M
    )
    if not match:
        return None, None
    log = re.search(r"^>>>\s+'(.*)'$", output[match.end() :], re.M) if match[2] else None
    return match[1].rstrip(","), log[1] if log else None


def _space(output: str) -> Failure | None:
    match = re.search(rf"^.*(?:{_FULL}).*$", output, re.M)
    if not match:
        return None
    package, log = _failed(output)
    summary = "there is no space left on the disk"
    return Failure(Kind.SPACE, package, summary, (plain(match[0].strip()),), _FREE_SOME, log=log)


def _faulty(output: str) -> Failure | None:
    """Give what a file system refuses, where nothing better is known."""
    match = re.search(rf"^.*(?:{_FAULTY}).*$", output, re.M)
    if not match:
        return None
    package, log = _failed(output)
    return Failure(Kind.SPACE, package, "a file cannot be read or written", (plain(match[0].strip()),), log=log)


def _no_manifest_entry(output: str) -> Failure | None:
    if "Insufficient data for checksum verification" not in output:
        return None
    package, log = _failed(output)
    file = _search(r"Fetched file: (\S+) VERIFY FAILED!", output) or "a source file"
    hint = "Add it to the repository: `ebuild FILE.ebuild manifest` writes the Manifest."
    summary = f"{file} has no digest in the Manifest of {package or 'its package'}"
    return Failure(Kind.MANIFEST, package, summary, (), hint, log=log)


def _checksum(output: str) -> Failure | None:
    files = re.findall(r"(?:Previously fetched file: '|Fetched file: )(.+?)(?:'| VERIFY FAILED!)$", output, re.M)
    given_up = re.findall(_GIVEN_UP, output, re.M)
    if given_up or _DIED in output:  # of the others a right one was fetched
        files = [file for file in files if file.rpartition("/")[2] in given_up]
    if not files:
        return None
    file = files[0]
    package, log = _failed(output)
    reason = _search(r"^!!! Reason: (.*)$", output)
    renamed = _search(r"File renamed to '(.*?)'", output)
    reasons = [reason] if reason else []
    if renamed:
        reasons.append(f"the file that was there is now {renamed}")
    if kept := _search(r"File kept as '(.*?)'", output):
        reasons.append(f"the file that was there is left as it was: {kept}")
    name = file.rpartition("/")[2]
    hint = f"Put the right {name} into the distfiles folder; if upstream changed it, the Manifest must follow."
    summary = f"{_of(name, package)} is not the file that its Manifest describes"
    return Failure(Kind.CHECKSUM, package, summary, tuple(reasons), hint, log=log)


def _binary_package(output: str) -> Failure | None:
    match = re.search(r"^!!! Invalid binary package: '(.+?)', (.*)$", output, re.M)
    if not match:
        return None
    package, log = _failed(output)
    hint = "If a binhost signs its packages, [portage] binhost_keys is to name its keys." if "GnuPG" in match[2] else ""
    name = match[1].rpartition("/")[2].removesuffix(".partial")
    reason = match[2].replace(match[1], name)
    summary = f"{name} is not the binary package that it should be"
    return Failure(Kind.CHECKSUM, package, summary, (reason,), hint, log=log)


def _fetch_restricted(output: str) -> Failure | None:
    package = _search(r"^!!! (\S+) has fetch restriction turned on\.$", output)
    if not package:
        return None
    said = re.findall(
        r"^ \* (?!Package:|Repository:|USE:|FEATURES:)(.+)$", output[output.index("fetch restriction") :], re.M
    )
    hint = "Get its source files by hand, and put them into the distfiles folder."
    summary = f"the sources of {package} cannot be fetched automatically"
    return Failure(Kind.FETCH_RESTRICTED, package, summary, tuple(said), hint, log=_failed(output)[1])


def _fetch(output: str) -> Failure | None:
    file = _search(_GIVEN_UP, output)
    if not file:
        return None
    package, log = _failed(output)
    tried = tuple(_attempts(output))
    hint = (
        f"Put {file} into the distfiles folder, name a mirror in [portage] mirrors, "
        "or check the network (http_proxy and https_proxy are obeyed)."
    )
    return Failure(Kind.FETCH, package, f"{_of(file, package)} could not be fetched", tried, hint, log=log)


def _of(file: str, package: str | None) -> str:
    return f"{file} of {package}" if package else file


def _attempts(output: str) -> list[str]:
    """Say what was tried: each address, with the last line of its download that looks like a reason."""
    attempts = {}
    for part in re.split(r"^>>> Downloading ", output, flags=re.M)[1:]:
        url, *lines = re.split(r"^(?:>>>|!!!) ", part, flags=re.M)[0].splitlines()
        said = [line.strip() for line in lines if re.search(_NO_FILE, line, re.I)]
        attempts[url.strip("'")] = said[-1] if said else "no answer"
    return [f"tried {url}: {reason}" for url, reason in attempts.items()]


def _collision(output: str) -> Failure | None:
    package = _search(r"Package '(\S+)' NOT merged due to file collisions", output)
    if not package:
        return None
    block = output.partition("Detected file collision(s)")[2]
    lines = [line.removeprefix(" *").strip() for line in block.splitlines()[1:]]
    searching = next((n for n, line in enumerate(lines) if line.startswith("Searching all")), 0)
    files = [line for line in lines[:searching] if line]
    owners = [line for line in lines[searching:] if re.fullmatch(r"\S+/\S+:\S+::\S+", line)]
    reasons = [f"file {file}" for file in files] + [f"owned by {owner.split(':')[0]}" for owner in owners]
    hint = "Two packages must not install the same file: drop one, or switch the file off in one of them."
    summary = f"{package} was not merged: it would overwrite files of another package"
    return Failure(Kind.COLLISION, package, summary, tuple(reasons), hint, log=_failed(output)[1])


def _died(output: str) -> Failure | None:
    error = re.search(r"^ \* ERROR: (\S+?)(?:::\S+)? failed(?: \((\w+) phase\))?:\n((?: \*   .*\n)*)", output, re.M)
    if not error:
        return None
    package, phase = error[1], error[2]
    said = [line.removeprefix(" *").strip() for line in error[3].splitlines()]
    log = _search(r"^ \* The complete build log is located at '(.*)'\.$", output) or _failed(output)[1]
    others = sorted(set(re.findall(r"^ \* ERROR: (\S+?)(?:::\S+)? failed", output, re.M)) - {package})
    reasons = said + _errors_before(output[: error.start()]) + [f"{other} failed as well" for other in others]
    if phase == "postinst":
        hint = "Its files are installed, but not set up; the root is built anew."
        summary = f"{package} was merged, but its pkg_postinst failed"
        return Failure(Kind.POSTINST, package, summary, tuple(reasons), hint, phase, log)
    return Failure(Kind.PHASE, package, f"{package} failed in its {phase} phase", tuple(reasons), "", phase, log)


def _died_silently(output: str) -> Failure | None:
    """Give what there is when emerge names a package that failed, but the output has no reason: its log has."""
    package, log = _failed(output)
    return Failure(Kind.PHASE, package, f"{package} failed", log=log) if package and log else None


def _errors_before(output: str) -> list[str]:
    """Give the last lines of a build that look like errors."""
    pattern = r"\berror\b|undefined reference|cannot find|not found|No such file|^\w*Error:"
    own = [line.strip() for line in output.rpartition(">>> ")[2].splitlines() if not line.startswith(" *")]
    return [line for line in own if re.search(pattern, line, re.I)][-_CONTEXT:]


def _search(pattern: str, output: str) -> str | None:
    match = re.search(pattern, output, re.M)
    return match[1] if match else None
