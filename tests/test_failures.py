"""What emerge says when it fails, and what we make of it. The texts are real: see tests/failing.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quern.portage.failures import Kind, Machine, explain, room
from tests.failing import CASES, DATA, Lab, anonymous, missing

AVAILABLE = ["lab/fine", "lab/absents", "app-misc/absent"]

# case: kind, package, phase, and lines that the message has
EXPECTED: dict[str, tuple[Kind, str | None, str | None, list[str]]] = {
    "compile": (
        Kind.PHASE,
        "lab/broken-1",
        "compile",
        [
            "lab/broken-1 failed in its compile phase",
            "  cannot compile parser.c",
            "  parser.c:12:5: error: unknown type name 'foo'",
            "log: /build/logs/lab:broken-1:20160516-152300.log",
        ],
    ),
    "compile-two": (Kind.PHASE, None, None, []),
    "configure": (Kind.PHASE, "lab/configure-1", "configure", ["  zlib not found"]),
    "unpack": (
        Kind.PHASE,
        "lab/unpack-1",
        "unpack",
        ["  unpack: './absent.tar.gz' either does not exist or is not a regular file"],
    ),
    "setup": (Kind.PHASE, "lab/setup-1", "setup", ["  this machine is not supported"]),
    "preinst": (Kind.PHASE, "lab/preinst-1", "preinst", ["  cannot move the old files"]),
    "postinst": (
        Kind.POSTINST,
        "lab/postinst-1",
        "postinst",
        ["lab/postinst-1 was merged, but its pkg_postinst failed", "  cannot add the user"],
    ),
    "full": (Kind.SPACE, "lab/full-1", None, ["there is no space left on the disk"]),
    "fetch": (
        Kind.FETCH,
        "lab/fetch-1",
        None,
        [
            "fetch-1.tar.gz of lab/fetch-1 could not be fetched",
            "  tried http://127.0.0.1:9/pub/fetch-1.tar.gz: Connecting to 127.0.0.1:9... failed: Connection refused.",
        ],
    ),
    "fetch-restricted": (Kind.FETCH_RESTRICTED, "lab/fetch-restricted-1", None, ["  Get it from the vendor"]),
    "checksum": (
        Kind.CHECKSUM,
        "lab/checksum-1",
        None,
        [
            "checksum-1.tar.gz of lab/checksum-1 is not the file that its Manifest describes",
            "  Failed on BLAKE2B verification",
            "  the file that was there is now /build/distfiles/checksum-1.tar.gz._checksum_failure_.x",
        ],
    ),
    "no-manifest-entry": (
        Kind.MANIFEST,
        "lab/nomanifest-1",
        None,
        ["nomanifest-1.tar.gz has no digest in the Manifest of lab/nomanifest-1"],
    ),
    "fetch-only": (Kind.FETCH, "lab/fetch-1", None, ["fetch-1.tar.gz of lab/fetch-1 could not be fetched"]),
    "fetch-only-restricted": (Kind.FETCH_RESTRICTED, "lab/fetch-restricted-1", None, ["  Get it from the vendor"]),
    "fetch-only-checksum": (
        Kind.CHECKSUM,
        "lab/checksum-1",
        None,
        ["checksum-1.tar.gz of lab/checksum-1 is not the file that its Manifest describes"],
    ),
    "fetch-only-no-manifest-entry": (
        Kind.MANIFEST,
        "lab/nomanifest-1",
        None,
        ["nomanifest-1.tar.gz has no digest in the Manifest of lab/nomanifest-1"],
    ),
    "masked": (
        Kind.MASKED,
        "lab/masked",
        None,
        [
            "lab/masked is masked",
            "  lab/masked-1: package.mask",
            "  # Does not build with anything",
            "To use it all the same, write `lab/masked` into package.unmask of the profile.",
        ],
    ),
    "masked-dependency": (
        Kind.MASKED,
        "lab/masked",
        None,
        ["  required by lab/needs-masked-1", "  required by @profile"],
    ),
    "masked-keyword": (
        Kind.MASKED,
        "lab/keyword",
        None,
        ["To accept it, write `lab/keyword ~amd64` into package.accept_keywords of the profile."],
    ),
    "masked-no-keyword": (
        Kind.MASKED,
        "lab/nokeyword",
        None,
        [
            "It was never tried on this architecture; to try, write `lab/nokeyword **` into package.accept_keywords.",
        ],
    ),
    "masked-license": (
        Kind.MASKED,
        "lab/license",
        None,
        [
            "  lab/license-1: Secret license(s)",
            "To accept the license, add it to ACCEPT_LICENSE in make.defaults of the profile.",
        ],
    ),
    "masked-eapi": (Kind.MASKED, "lab/eapi", None, ["  lab/eapi-1: EAPI 42"]),
    "masked-invalid": (
        Kind.MASKED,
        "lab/invalid",
        None,
        ["  lab/invalid-1: invalid: DEPEND: Missing ')' at end of string"],
    ),
    "keyword-changes": (
        Kind.KEYWORDS,
        "lab/keyword",
        None,
        ["Write into package.accept_keywords of the profile:", "    =lab/keyword-1 ~amd64"],
    ),
    "unsatisfied": (
        Kind.UNSATISFIED,
        "lab/absent",
        None,
        ["no repository has lab/absent", "Did you mean app-misc/absent or lab/absents?"],
    ),
    "unsatisfied-version": (
        Kind.UNSATISFIED,
        ">=lab/fine-2",
        None,
        ["There is lab/fine, but in no version or slot that fits."],
    ),
    "unsatisfied-dependency": (
        Kind.UNSATISFIED,
        "lab/absent",
        None,
        ["  required by lab/needs-1", "  required by lab/middle-1", "  required by @profile"],
    ),
    "unsatisfied-host": (
        Kind.UNSATISFIED,
        "dev-util/absent-tool",
        None,
        ["no repository has dev-util/absent-tool, which must run on the machine that builds (BDEPEND)"],
    ),
    "no-binary": (Kind.NO_BINARY, "lab/fine", None, ["there is no binary package of lab/fine"]),
    "circular": (Kind.CIRCULAR, None, None, ["  lab/ring-other-1 depends on"]),
    "use-needed": (Kind.USE, "lab/flags[extra]", None, ["Write `lab/flags extra` into package.use of the profile."]),
    "use-changes": (Kind.USE, "lab/flags", None, ["Write into package.use of the profile:", "    >=lab/flags-1 extra"]),
    "use-missing": (
        Kind.USE,
        "lab/flags[nothere]",
        None,
        ["No version of it has such a USE flag; what requires it must change."],
    ),
    "required-use": (
        Kind.REQUIRED_USE,
        "lab/required",
        None,
        ["the USE flags of lab/required contradict each other (REQUIRED_USE)", "  it wants exactly-one-of ( gtk qt )"],
    ),
    "blocker": (Kind.BLOCKER, "lab/fine", None, ["lab/one-1 cannot be installed together with lab/fine"]),
    "slot-conflict": (
        Kind.SLOT,
        "lab/lib:0",
        None,
        [
            "two versions of lab/lib:0 are required at once",
            "  =lab/lib-1 required by lab/wants-lib1-1",
            "  =lab/lib-2 required by lab/wants-lib2-1",
        ],
    ),
    "collision": (
        Kind.COLLISION,
        "lab/file-b-1",
        None,
        [
            "lab/file-b-1 was not merged: it would overwrite files of another package",
            "  file /build/image/usr/share/x",
            "  owned by lab/file-a-1",
        ],
    ),
    "parent-missing": (
        Kind.PARENT,
        None,
        None,
        ["/lab/lab/profiles/parent-missing/parent: there is no profile /lab/lab/profiles/nowhere"],
    ),
}
NO_FAILURE = {"success", "invalid-atom"}


def check(case: str, output: str) -> None:
    """Compare what we make of an output with what is expected of its case."""
    failure = explain(output, AVAILABLE)
    if case in NO_FAILURE:
        assert failure is None
        return
    kind, package, phase, lines = EXPECTED[case]
    assert failure is not None
    assert failure.kind is kind
    assert package is None or failure.package == package
    assert phase is None or failure.phase == phase
    assert [line for line in lines if line not in str(failure).splitlines()] == []


def test_every_case_was_captured() -> None:
    assert {path.stem for path in DATA.iterdir()} == set(CASES) == set(EXPECTED) | NO_FAILURE


@pytest.mark.parametrize("case", CASES)
def test_what_emerge_said_is_explained(case: str) -> None:
    check(case, (DATA / f"{case}.txt").read_text())


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    if missing():
        pytest.skip(missing())
    return Lab(tmp_path_factory.mktemp("failing") / "lab")


@pytest.mark.emerge
@pytest.mark.parametrize("case", CASES)
def test_what_emerge_says_today_is_explained(case: str, lab: Lab) -> None:
    status, output = lab.emerge(case)
    assert (status == 0) == (case in NO_FAILURE)
    check(case, anonymous(output, lab, case))


def test_the_starter_says_what_it_has_and_how_to_get_more() -> None:
    failure = explain((DATA / "unsatisfied.txt").read_text(), AVAILABLE, starter_only=True)
    assert failure is not None
    assert "The starter repository has: app-misc/absent lab/absents lab/fine\n" in str(failure)
    assert "    repositories = /var/db/repos/gentoo" in str(failure)


@pytest.mark.parametrize(("case", "kind"), [("fetch-only", Kind.FETCH), ("compile", Kind.PHASE)])
def test_a_file_that_was_fetched_anew_is_no_reason(case: str, kind: Kind) -> None:
    before = (DATA / "fetch-only-checksum.txt").read_text().split("!!! Couldn't")[0]
    failure = explain(before + (DATA / f"{case}.txt").read_text())
    assert failure is not None
    assert failure.kind is kind


NO_ADVICE = {Kind.PHASE}  # for these there is a shell


def test_every_kind_says_what_to_do() -> None:
    failures = [explain((DATA / f"{case}.txt").read_text(), AVAILABLE) for case in set(CASES) - NO_FAILURE]
    found = {failure.kind: failure for failure in failures if failure is not None}
    assert found.keys() == set(Kind)
    assert {kind for kind, failure in found.items() if not failure.hint} == NO_ADVICE


def test_two_failures_name_both() -> None:
    text = str(explain((DATA / "compile-two.txt").read_text()))
    assert "lab/broken-1" in text
    assert "lab/configure-1" in text


def test_a_failure_without_reason_still_names_package_and_log() -> None:
    output = (DATA / "compile.txt").read_text().split("\n * Package:")[0]
    failure = explain(output)
    assert failure is not None
    assert str(failure) == "lab/broken-1 failed\nlog: /build/logs/lab:broken-1:20160516-152300.log"


SILENT = (DATA / "compile.txt").read_text().split("\n * Package:")[0]  # emerge names the package and its log
MIB = 1 << 20


def test_without_a_reason_the_log_s_last_lines_are_shown() -> None:
    asked = []

    def log(path: str) -> str:
        asked.append(path)
        return "".join(f"line {n}\n\n" for n in range(20)) + "\n * \n!!! Error extracting x.tar.gz (exitcode: -13)\n"

    text = str(explain(SILENT, machine=Machine(log, 500 * MIB)))
    assert asked == ["/build/logs/lab:broken-1:20160516-152300.log"]
    assert text.splitlines() == [
        "lab/broken-1 failed",
        *(f"  line {n}" for n in range(13, 20)),
        "  !!! Error extracting x.tar.gz (exitcode: -13)",
        "log: /build/logs/lab:broken-1:20160516-152300.log",
    ]


def test_a_disk_nearly_full_is_said() -> None:
    hint = "Only 3 MiB are free in the work folder's file system. " + (
        "Free some, or set [build] workdir to a folder on a larger disk."
    )
    for output in (SILENT, (DATA / "compile.txt").read_text()):
        lines = str(explain(output, machine=Machine(lambda path: "", 3 * MIB))).splitlines()
        assert (lines[-2], lines[-1][:4]) == (hint, "log:")
        assert hint not in str(explain(output, machine=Machine(lambda path: "", 50 * MIB)))
    assert room(3 * MIB) == f"{hint}\n"
    assert room(50 * MIB) == ""


FULL = "/w/x: No space left on device"
FREE_SOME = "Free some, or set [build] workdir to a folder on a larger disk."


def test_a_full_disk_is_named_whatever_names_it() -> None:
    """The output, or the log of a package; with the file, or else with the work folder."""
    for text, reason in (
        ("OSError: [Errno 28] No space left on device: '/w/x'", FULL),
        ("OSError: [Errno 122] Disk quota exceeded: '/w/x'", "/w/x: Disk quota exceeded"),
    ):
        assert str(explain(f"begun\n{text}\n")) == f"there is no space left on the disk\n  {reason}\n{FREE_SOME}"
        log = "log: /build/logs/lab:broken-1:20160516-152300.log"
        failure = explain(SILENT, machine=Machine(lambda path: f"x\n{text}\ny\n", 3 * MIB))  # noqa: B023
        assert str(failure) == f"lab/broken-1 failed\n  {reason}\n{FREE_SOME}\n{log}"
    lines = str(explain("write error: No space left on device\n", machine=Machine(str, 0, "/w"))).splitlines()
    assert lines[1:3] == ["  write error: No space left on device", "  the work folder is /w"]


def test_a_disk_that_fails_is_a_reason_where_there_is_no_other() -> None:
    failure = explain("begun\nOSError: [Errno 5] Input/output error: '/w/x'\n")
    assert str(failure) == "a file cannot be read or written\n  /w/x: Input/output error"
    for case in set(CASES) - NO_FAILURE:
        output = (DATA / f"{case}.txt").read_text()
        assert explain(f"tty: Input/output error\n{output}") == explain(output)


def test_a_reason_that_is_known_needs_nothing_of_the_log() -> None:
    def log(path: str) -> str:
        return f"{path} was read\n"

    for case in CASES:
        if case != "compile-two":
            output = (DATA / f"{case}.txt").read_text()
            assert explain(output, machine=Machine(log, 500 * MIB)) == explain(output)


LINES = sorted({line for path in DATA.iterdir() for line in path.read_text().splitlines()})


@settings(max_examples=1000)
@given(st.lists(st.sampled_from(LINES)))
def test_any_mixture_of_lines_is_read(lines: list[str]) -> None:
    failure = explain("\n".join(lines), AVAILABLE, starter_only=True)
    assert failure is None or str(failure)


def test_captures_name_no_machine() -> None:
    for path in DATA.iterdir():
        assert not any(word in path.read_text() for word in (" /tmp/", "'/tmp/", "/opt/", "/home/", "/root/")), path
