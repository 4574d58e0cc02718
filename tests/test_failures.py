"""What emerge says when it fails, and what we make of it. The texts are real: see tests/failing.py."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quern.portage.failures import Kind, Machine, each, explain, room
from quern.portage.failures_resolving import STAGE
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
    "exit": (
        Kind.PHASE,
        "lab/exit-1",
        "compile",
        [
            "lab/exit-1 failed in its compile phase, and did not say why (it called `exit`, or bash was killed)",
            "  exit.c:3: error: no such type",
        ],
    ),
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
    "full": (Kind.SPACE, "lab/full-1", None, ["there is no space left on the disk for lab/full-1"]),
    "fetch": (
        Kind.FETCH,
        "lab/fetch-1",
        None,
        [
            "fetch-1.tar.gz of lab/fetch-1 was there before it was built, and is not any more",
            "Run it again: it is fetched first.",
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
    "truncated": (
        Kind.CHECKSUM,
        "lab/truncated-1",
        None,
        [
            "truncated-1.tar.gz of lab/truncated-1 is not the file that its Manifest describes",
        ],
    ),
    "fetch-only": (
        Kind.FETCH,
        "lab/fetch-1",
        None,
        ["fetch-1.tar.gz of lab/fetch-1 was there before it was built, and is not any more"],
    ),
    "fetch-only-restricted": (Kind.FETCH_RESTRICTED, "lab/fetch-restricted-1", None, ["  Get it from the vendor"]),
    "fetch-only-checksum": (
        Kind.CHECKSUM,
        "lab/checksum-1",
        None,
        ["checksum-1.tar.gz of lab/checksum-1 is not the file that its Manifest describes"],
    ),
    "fetch-only-two": (Kind.FETCH_RESTRICTED, None, None, []),
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
            "It was never tried on this architecture;"
            " to try, write `=lab/nokeyword-1 **` into package.accept_keywords.",
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
    "ebuild-inherit": (
        Kind.EBUILD,
        "lab/inherit-1",
        None,
        [
            "lab/inherit-1 cannot be used: /lab/lab/lab/inherit/inherit-1.ebuild:8: "
            "nosuch.eclass could not be found by inherit()",
            "  required by @profile",
            "Correct the name, or add the repository that has this eclass to [portage] repositories.",
        ],
    ),
    "ebuild-inherit-older": (
        Kind.MASKED,
        "lab/inherit",
        None,
        [
            "  lab/inherit-2: ~amd64 keyword",
            "  lab/inherit-1: /lab/lab/lab/inherit/inherit-1.ebuild:8: nosuch.eclass could not be found by inherit()",
        ],
    ),
    "ebuild-command": (
        Kind.EBUILD,
        "lab/command-1",
        None,
        [
            "lab/command-1 cannot be used: /lab/lab/lab/command/command-1.ebuild:8: "
            "External commands disallowed while sourcing ebuild: KEYWORDS = amd64",
        ],
    ),
    "ebuild-syntax": (
        Kind.EBUILD,
        "lab/syntax-1",
        None,
        [
            "lab/syntax-1 cannot be used: /lab/lab/lab/syntax/syntax-1.ebuild:9: syntax error: unexpected end of file",
            "Above that line a quote, a brace, an `if` or the like is not closed.",
        ],
    ),
    "no-arch": (Kind.PROFILE, None, None, ["the profile sets no ARCH"]),
    "quote": (Kind.PROFILE, None, None, ["/lab/lab/profiles/quote/make.defaults:4: No closing quotation"]),
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
    "circular-host": (Kind.CIRCULAR, "lab/own-tool-1", None, ["  lab/own-tool-1 depends on"]),
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


def test_the_version_to_try_is_no_live_one_and_one_that_was_tested() -> None:
    text = (DATA / "masked-no-keyword.txt").read_text()
    line = "- lab/nokeyword-1::lab (masked by: missing keyword)\n"
    assert line in text

    def hint(*masks: str) -> str:
        lines = "".join(f"- lab/nokeyword-{mask})\n" for mask in masks)
        failure = explain(text.replace(line, lines))
        assert failure is not None
        return failure.hint

    live, untested = "9999::lab (masked by: missing keyword", "2::lab (masked by: missing keyword"
    assert "`=lab/nokeyword-2 **`" in hint(live, untested)
    assert "`lab/nokeyword ~amd64`" in hint(live, untested, "1::lab (masked by: ~amd64 keyword")
    assert "`=lab/nokeyword-9999 **`" in hint(live)


@pytest.mark.parametrize("case", ["unsatisfied-host", "circular-host"])
def test_a_tool_that_a_tree_without_declared_tools_wants_leads_to_a_stage(case: str) -> None:
    """And not to package.provided, from one tool to the next."""
    output = (DATA / f"{case}.txt").read_text()
    assert "package.provided" in str(explain(output))
    failure = explain(output, undeclared=True)
    assert failure is not None
    assert "package.provided" not in str(failure)
    assert failure.hint == STAGE
    assert "[build] driver = docker" in STAGE


@pytest.mark.parametrize("case", sorted({*CASES} - NO_FAILURE - {"unsatisfied-host", "circular-host"}))
def test_what_is_for_the_image_leads_to_no_stage(case: str) -> None:
    output = (DATA / f"{case}.txt").read_text()
    assert explain(output, undeclared=True) == explain(output)


@pytest.mark.parametrize(("case", "kind"), [("fetch-only", Kind.FETCH), ("compile", Kind.PHASE)])
def test_a_file_that_was_fetched_anew_is_no_reason(case: str, kind: Kind) -> None:
    before = (DATA / "fetch-only-checksum.txt").read_text().split("!!! Couldn't")[0]
    failure = explain(before + (DATA / f"{case}.txt").read_text())
    assert failure is not None
    assert failure.kind is kind


FAILED = "\n>>> Failed to emerge lab/toy-1 for /build/image/\n"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("A file is not listed in the Manifest: '/t/lab/toy/files/x'", "it is not in its Manifest"),
        ("Missing digest for '/t/lab/toy/files/x'", "it is not in its Manifest"),
        (
            "A file listed in the Manifest could not be found: /t/lab/toy/files/x",
            "it is in its Manifest, but not there",
        ),
        (
            "Digest verification failed:\n!!! /t/lab/toy/files/x\n!!! Reason: Filesize does not match recorded size\n"
            "!!! Got: 2\n!!! Expected: 3",
            "not as its Manifest describes it: Filesize does not match recorded size",
        ),
    ],
)
def test_a_file_that_is_not_as_in_its_manifest(output: str, message: str) -> None:
    first, second = str(explain(f"\n!!! {output}\n")).splitlines()
    assert first == f"/t/lab/toy/files/x: {message}"
    assert second == "If the file is right, write the Manifest anew: `ebuild FILE.ebuild manifest`"


def test_an_ebuild_that_is_not_valid_needs_no_keyword() -> None:
    output = (DATA / "masked-no-keyword.txt").read_text()
    output = output.replace("missing keyword)", "missing keyword, invalid: SLOT: undefined)")
    assert "Its ebuild is not usable; correct it, or choose another version." in str(explain(output)).splitlines()


NO_ADVICE = {Kind.PHASE}  # for these there is a shell


def test_every_kind_says_what_to_do() -> None:
    failures = [explain((DATA / f"{case}.txt").read_text(), AVAILABLE) for case in set(CASES) - NO_FAILURE]
    found = {failure.kind: failure for failure in failures if failure is not None}
    assert found.keys() == set(Kind) - {Kind.MANIFEST}  # which a Manifest that is not thin gives
    assert {kind for kind, failure in found.items() if not failure.hint} == NO_ADVICE


MIB = 1 << 20
CONFIGURE, BROKEN = (f"/build/logs/lab:{name}-1:20160516-152300.log" for name in ("configure", "broken"))
LOGS = {
    CONFIGURE: "checking for zlib... no\n * ERROR: lab/configure-1::lab failed (configure phase):\n *   no zlib\n",
    BROKEN: ">>> Compiling source in /w ...\na.c:1: error: x\n * ERROR: lab/broken-1::lab failed (compile phase):\n"
    " *   emake failed\n",
}


def messages(output: str, logs: Mapping[str, str]) -> list[str]:
    """What is said of each package that failed."""
    return [str(failure) for failure, _ in each(output, machine=Machine(lambda path: logs.get(path, ""), 500 * MIB))]


def test_each_of_several_has_the_reason_that_is_in_its_log() -> None:
    assert messages((DATA / "compile-two.txt").read_text(), LOGS) == [
        f"lab/configure-1 failed in its configure phase\n  no zlib\nlog: {CONFIGURE}",
        f"lab/broken-1 failed in its compile phase\n  emake failed\n  a.c:1: error: x\nlog: {BROKEN}",
    ]


def test_without_its_log_a_package_has_what_emerge_repeats() -> None:
    assert messages((DATA / "compile-two.txt").read_text(), {}) == [
        f"lab/configure-1 failed in its configure phase\n  zlib not found\nlog: {CONFIGURE}",
        f"lab/broken-1 failed in its compile phase\n  cannot compile parser.c\nlog: {BROKEN}",
    ]


def test_of_several_one_without_a_reason_has_the_end_of_its_log() -> None:
    logs = {**LOGS, BROKEN: "unpacking\nexitcode: -13\n"}
    assert messages((DATA / "compile-two.txt").read_text(), logs)[1] == (
        f"lab/broken-1 failed\n  unpacking\n  exitcode: -13\nlog: {BROKEN}"
    )


def test_each_that_cannot_be_fetched_is_named() -> None:
    fetch, restricted = messages((DATA / "fetch-only-two.txt").read_text(), {})
    assert fetch.startswith("fetch-1.tar.gz of lab/fetch-1 was there before it was built, and is not any more\n")
    assert restricted.splitlines()[:2] == [
        "the sources of lab/fetch-restricted-1 cannot be fetched automatically",
        "  Get it from the vendor",
    ]
    assert "fetch-1.tar.gz" not in restricted


def test_all_files_of_a_package_that_could_not_be_fetched_are_named() -> None:
    one = (DATA / "fetch-only.txt").read_text()
    text = str(explain(one.replace("\n>>> Failed", "!!! Couldn't download 'b.tar'. Aborting.\n\n>>> Failed")))
    assert text.startswith("fetch-1.tar.gz and b.tar of lab/fetch-1 was there")


def test_what_a_log_says_of_failures_is_not_emerge_s_own_word() -> None:
    """As in the log of a package that tests a Portage."""
    quoted = ">>> Failed to emerge other/package-1, Log file:\n\n>>>  '/etc/hostname'\n"
    output = (DATA / "compile.txt").read_text().replace("cc -c", f"{quoted}cc -c")
    assert messages(output, {}) == [str(explain(output))]


@pytest.mark.emerge
def test_the_logs_that_emerge_leaves_have_the_reasons(lab: Lab) -> None:
    shutil.rmtree(lab.folder / "work/compile-two", ignore_errors=True)
    _, output = lab.emerge("compile-two")
    found = each(output, machine=Machine(lambda path: Path(path).read_text(), 500 * MIB))
    broken = next(str(failure) for failure, _ in found if failure.package == "lab/broken-1")
    assert "parser.c:12:5: error: unknown type name 'foo'" in broken
    assert len(found) == 2


def test_a_failure_without_reason_still_names_package_and_log() -> None:
    output = (DATA / "compile.txt").read_text().split("\n * Package:")[0]
    failure = explain(output)
    assert failure is not None
    assert str(failure) == "lab/broken-1 failed\nlog: /build/logs/lab:broken-1:20160516-152300.log"


SILENT = (DATA / "compile.txt").read_text().split("\n * Package:")[0]  # emerge names the package and its log


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
    lines = str(explain("write error: No space left on device\n", machine=Machine(str, 0, folder="/w"))).splitlines()
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
