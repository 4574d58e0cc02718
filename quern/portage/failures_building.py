"""Failures while packages are fetched, built or merged."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from quern.errors import display
from quern.portage.failure import Failure, Kind
from quern.portage.repository import Repository
from quern.portage.tracebacks import plain

_CONTEXT = 4  # lines of a build's own errors that are shown
_LAST = 8  # lines of a package's log that are shown where nothing better is known
_FREE_SOME = "Free some, or set [build] workdir to a folder on a larger disk."
_GIVEN_UP = r"^!!! Couldn't download '(.*)'\. Aborting\.$"
# a source file that is there is not what its Manifest describes; if its size differs, Portage gives no reason
_OTHER_FILE = (
    r"^(?:!!! Previously fetched file: '|!!! Fetched file: |Refetching\.\.\. File renamed to ')"
    r"(.+?)(?:\._checksum_failure_\.\w+)?(?:'| VERIFY FAILED!)$"
)
_DIGEST = re.compile(
    r"^!!! Digest verification failed:\n!!! (.+)\n!!! Reason: (.+)\n!!! Got: (.+)\n!!! Expected: (.+)$", re.M
)
_UNLISTED = re.compile(
    r"^!!! (?:Missing digest for|A file is not listed in the Manifest:|"
    r"A file listed in the Manifest (could not be found):) '?(/.+?)'?$",
    re.M,
)
_DIED = "\n * ERROR: "
_FAILED = re.compile(r"^>>> Failed to (?:emerge|install) (\S+?)(?:::\S+)?(?: (?:for|to) .*?)?(, Log file:)?$", re.M)
_SEVERAL = re.compile(r"^ \* The following \d+ packages have failed to build", re.M)
_FULL = r"No space left on device|Disk quota exceeded"  # ENOSPC, EDQUOT: errno(3)
_FAULTY = r"Input/output error|Read-only file system"  # EIO, EROFS
_LITTLE = 50 << 20  # bytes; with less than this free, that is the likely reason


class Machine(NamedTuple):
    """What is known of a failure besides the output.

    log             gives the text of a log by its path
    free            bytes that are free in the work folder's file system
    repositories    those of the image
    profile         the folder of its profile
    folder          the work folder
    """

    log: Callable[[str], str]
    free: int
    repositories: Sequence[Repository] = ()
    profile: Path | None = None
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
    reasons = failure.reasons or _last(log)
    return replace(failure, reasons=reasons, hint=failure.hint + room(machine.free).rstrip())


def _last(text: str) -> tuple[str, ...]:
    said = [line.strip() for line in text.splitlines()]
    return tuple([line for line in said if line.strip("* ")][-_LAST:])


def room(free: int) -> str:
    """A line about `free` bytes in the work folder's file system; empty if they are enough."""
    if free >= _LITTLE:
        return ""
    return f"Only {free >> 20} MiB are free in the work folder's file system. {_FREE_SOME}\n"


def explain(output: str) -> Failure | None:
    """Find the first cause that applies; see `failures.explain`."""
    return (
        _space(output)
        or _checksum(output)
        or _binary_package(output)
        or _of_tree(output)
        or _fetch_restricted(output)
        or _fetch(output)
        or _collision(output)
        or _died(output)
        or _exited(output)
        or _died_silently(output)
    )


def _failed(output: str) -> tuple[str | None, str | None]:
    """Find the package that emerge gave up on, and its log (the path is on the next line that has one).

    Where emerge only fetches, there is none.
    """
    match = _FAILED.search(output)
    return _named(match, output) if match else (None, None)


def _named(match: re.Match[str], output: str) -> tuple[str, str | None]:
    log = re.search(r"^>>>\s+'(.*)'$", output[match.end() :], re.M) if match[2] else None
    return match[1].rstrip(","), log[1] if log else None


def separated(output: str, log: Callable[[str], str]) -> list[str]:
    """Split what is known of the packages that emerge gave up on: one text for each, in the order of the failures.

    A text begins with emerge's lines that name the package and its log; the log's own text follows. If the log cannot
    be read, the messages follow that emerge repeats at its end. A package that failed with --fetchonly has no log;
    its text is what emerge printed before it gave the package up. Empty unless emerge says that several failed.
    """
    found = {}
    end = 0
    for match in _FAILED.finditer(output) if _SEVERAL.search(output) else ():
        package, path = _named(match, output)
        if path:
            text = f"{match[0]}\n>>>  '{path}'\n{log(path) or _repeated(output, package)}"
        else:
            said = output[end : match.end()]
            begun = [begin.start() for begin in re.finditer(rf"^>>> Fetching .* {re.escape(package)}::", said, re.M)]
            text = said[begun[-1] if begun else 0 :]
        found[match[0]] = text
        end = match.end()
    return list(found.values())


def _repeated(output: str, package: str) -> str:
    """Give the elog messages of `package` that emerge repeats after everything else."""
    messages = rf"^ \* (?:Error m|M)essages for package {re.escape(package)}[ :].*\n((?: \* .*\n)*)"
    return "".join(re.findall(messages, output, re.M))


def unexplained(text: str) -> Failure:
    """Name the package of one of `separated`'s texts, with the last lines that it has."""
    package, log = _failed(text)
    said = _FAILED.sub("", text)
    return Failure(Kind.PHASE, package, f"{package} failed", () if log else _last(said), log=log)


def _space(output: str) -> Failure | None:
    match = re.search(rf"^.*(?:{_FULL}).*$", output, re.M)
    if not match:
        return None
    package, log = _failed(output)
    summary = "there is no space left on the disk" + (f" for {package}" if package else "")
    return Failure(Kind.SPACE, package, summary, (plain(match[0].strip()),), _FREE_SOME, log=log)


def faulty(output: str) -> Failure | None:
    """Give what a file system refuses, where nothing better is known."""
    match = re.search(rf"^.*(?:{_FAULTY}).*$", output, re.M)
    if not match:
        return None
    package, log = _failed(output)
    return Failure(Kind.SPACE, package, "a file cannot be read or written", (plain(match[0].strip()),), log=log)


def _checksum(output: str) -> Failure | None:
    files = re.findall(_OTHER_FILE, output, re.M)
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


def _of_tree(output: str) -> Failure | None:
    """Find a file of a repository that a Manifest which is not thin describes otherwise, or not at all."""
    if digest := _DIGEST.search(output):
        file, reason = digest[1], f"not as its Manifest describes it: {digest[2]}"
    elif unlisted := _UNLISTED.search(output):
        file = unlisted[2]
        reason = "it is in its Manifest, but not there" if unlisted[1] else "it is not in its Manifest"
    else:
        return None
    hint = "If the file is right, write the Manifest anew: `ebuild FILE.ebuild manifest`"
    return Failure(Kind.MANIFEST, None, f"{display(Path(file))}: {reason}", hint=hint)


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
    """Find a source that was there before anything was built, and has gone since."""
    files = list(dict.fromkeys(re.findall(_GIVEN_UP, output, re.M)))
    if not files:
        return None
    file = " and ".join(files)
    package, log = _failed(output)
    summary = f"{_of(file, package)} was there before it was built, and is not any more"
    return Failure(Kind.FETCH, package, summary, (), "Run it again: it is fetched first.", log=log)


def _of(file: str, package: str | None) -> str:
    return f"{file} of {package}" if package else file


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
    reasons = said + _errors_before(output[: error.start()])
    if phase == "postinst":
        hint = "Its files are installed, but not set up; the root is built anew."
        summary = f"{package} was merged, but its pkg_postinst failed"
        return Failure(Kind.POSTINST, package, summary, tuple(reasons), hint, phase, log)
    return Failure(Kind.PHASE, package, f"{package} failed in its {phase} phase", tuple(reasons), "", phase, log)


def _exited(output: str) -> Failure | None:
    """Find a phase whose bash ended without `die`: by `exit`, a signal, or an error of the ebuild's own syntax."""
    match = re.search(r"^ \* The ebuild phase '(\w+)' has exited unexpectedly\.", output, re.M)
    package, log = _failed(output)
    if not match or not package:
        return None
    reasons = _last(output[: match.start()].rpartition("\n>>> ")[2].partition("\n")[2])
    summary = f"{package} failed in its {match[1]} phase, and did not say why (it called `exit`, or bash was killed)"
    return Failure(Kind.PHASE, package, summary, reasons, "", match[1], log)


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
