"""What a package that fails leaves: a message, and a record for a shell."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from quern.errors import BuildError, PackageError
from quern.steps import capsule
from tests.conftest import tool
from tests.projects import source_build, write
from tests.test_emerging import Lab

pytestmark = pytest.mark.emerge

BEGUN = ">>> Emerging (1 of 1) lab/top-1::lab for /image/\n"
DIED = " * ERROR: lab/top-1::lab failed (configure phase):\n *   no compiler\n"
BINHOST = "binhost = https://me:secret@binhost.invalid/\n"


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An image that is not built yet."""
    tool("scanelf", "pax-utils")
    return Lab(tmp_path)


def configure(lab: Lab, text: str) -> None:
    write(lab.folder, {"lab.conf": (lab.folder / "lab.conf").read_text() + text})


def test_what_a_shell_needs_is_written_down(lab: Lab) -> None:
    build = source_build(lab.image)
    error = capsule.error_of(build, BEGUN + DIED)
    assert isinstance(error, PackageError)
    assert str(error) == f"lab/top-1 failed in its configure phase\n  no compiler\nlog: {build.log}"
    record = json.loads((build.scratch / capsule.RECORD).read_text())
    assert [record[name] for name in ("package", "repository", "phase", "host")] == [
        "lab/top-1",
        "lab",
        "configure",
        False,
    ]
    assert record["environment"]["PATH"] == f"{lab.folder}/work/host/usr/bin"
    assert str(lab.tree) in record["readable"]


def test_what_is_built_to_build_with_names_no_root(lab: Lab) -> None:
    build = source_build(lab.image)
    capsule.error_of(build, BEGUN.replace(" for /image/", "") + DIED)
    assert json.loads((build.scratch / capsule.RECORD).read_text())["host"] is True


def test_the_record_is_ours_alone_and_has_no_password(lab: Lab) -> None:
    write(lab.folder, {"lab.conf": (lab.folder / "lab.conf").read_text().replace("[build]", f"{BINHOST}[build]")})
    build = source_build(lab.image)
    assert "secret" not in str(build.surroundings.environment())
    capsule.error_of(build, BEGUN + DIED)
    record = build.scratch / capsule.RECORD
    assert "secret" not in record.read_text()
    assert record.stat().st_mode & 0o777 == 0o600


def test_the_record_goes_through_no_link(lab: Lab) -> None:
    """What failed could write where the record is made."""
    build = source_build(lab.image)
    precious = write(lab.folder, {"precious": "precious\n"}) / "precious"
    (build.scratch / f"{capsule.RECORD}.new").symlink_to(precious)
    assert isinstance(capsule.error_of(build, BEGUN + DIED), PackageError)
    assert precious.read_text() == "precious\n"
    assert json.loads((build.scratch / capsule.RECORD).read_text())["package"] == "lab/top-1"


def test_a_build_folder_that_is_not_kept_is_said(lab: Lab) -> None:
    configure(lab, "keep_failed = off\n")
    build = source_build(lab.image)
    error = capsule.error_of(build, BEGUN + DIED)
    assert not isinstance(error, PackageError)
    assert str(error).splitlines()[-1] == "Its build folder is not kept: build.keep_failed = off"
    assert not (build.scratch / capsule.RECORD).exists()


def test_a_record_that_cannot_be_written_hides_no_reason(lab: Lab) -> None:
    build = source_build(lab.image)
    shutil.rmtree(build.scratch)  # where it would be written
    error = capsule.error_of(build, BEGUN + DIED)
    assert type(error) is BuildError
    assert "no compiler" in str(error)


def test_what_fails_before_it_is_built_has_no_folder(lab: Lab) -> None:
    build = source_build(lab.image)
    error = capsule.error_of(build, f"{BEGUN}!!! Couldn't download 'x.tar'. Aborting.\n", fetching=True)
    assert type(error) is BuildError
    assert not (build.scratch / capsule.RECORD).exists()


def test_a_package_that_fails_without_a_word(lab: Lab) -> None:
    """As when the disk is full while a package is unpacked: only the package's log says something."""
    build = source_build(lab.image)
    log = write(lab.folder, {"a.log": "unpacking\nexitcode: -13\n"}) / "a.log"
    output = f">>> Failed to install lab/top-1, Log file:\n\n>>>  '{log}'\n"
    assert str(capsule.error_of(build, output)) == f"lab/top-1 failed\n  unpacking\n  exitcode: -13\nlog: {log}"
    log.unlink()
    assert str(capsule.error_of(build, output)) == f"lab/top-1 failed\nlog: {log}"


def test_an_unknown_failure_shows_the_last_lines(lab: Lab) -> None:
    build = source_build(lab.image)
    assert str(capsule.error_of(build, "one\ntwo\n")) == f"emerge failed:\none\ntwo\nlog: {build.log}"


TRACEBACK = """\
Traceback (most recent call last):
  File "/lib/portage/x.py", line 1, in write
    stream.write(text)
OSError: [Errno 28] No space left on device: '/w/x'
"""


def test_no_traceback_of_a_program_is_part_of_a_message(lab: Lab) -> None:
    """Not of emerge itself, nor of what a package's log ends with; what was refused is named, and the log."""
    build = source_build(lab.image)
    unknown = TRACEBACK.replace("OSError: [Errno 28] No space left on device: '/w/x'", "EOFError")
    assert str(capsule.error_of(build, f"one\n{unknown}")) == f"emerge failed:\none\nEOFError\nlog: {build.log}"
    assert "\n  /w/x: No space left on device\n" in str(capsule.error_of(build, TRACEBACK))
    log = write(lab.folder, {"a.log": f"unpacking\n{unknown}"}) / "a.log"
    output = f">>> Failed to install lab/top-1, Log file:\n\n>>>  '{log}'\n"
    assert str(capsule.error_of(build, output)) == f"lab/top-1 failed\n  unpacking\n  EOFError\nlog: {log}"
    for text in (f"{unknown}{DIED}", f"{DIED}{unknown}"):
        assert "Traceback" not in str(capsule.error_of(build, f"{BEGUN}{text}"))


def test_the_phase_of_a_package_that_fails_without_a_word(lab: Lab) -> None:
    build = source_build(lab.image)
    output = f"{BEGUN}>>> Failed to emerge lab/top-1 for /image/, Log file:\n\n>>>  '/absent.log'\n"
    phases = []
    for mark in (".setuped", ".unpacked", ".prepared"):
        write(build.scratch, {f"tmp/portage/lab/top-1/{mark}": ""})
        capsule.error_of(build, output)
        phases.append(json.loads((build.scratch / capsule.RECORD).read_text())["phase"])
    assert phases == ["unpack", "prepare", "configure"]


def several(folder: Path, logs: list[tuple[str, str]]) -> str:
    """What emerge prints where each of these packages failed, whose logs it leaves."""
    lines = []
    for package, text in logs:
        name = package.replace("/", ":")
        write(folder, {f"{name}.log": text})
        lines += [f">>> Failed to emerge {package} for /image/, Log file:", f">>>  '{folder}/{name}.log'"]
    return "\n".join([*lines, f" * The following {len(logs)} packages have failed to build, install, or execute", ""])


def test_of_several_packages_each_has_its_reason(lab: Lab) -> None:
    build = source_build(lab.image)
    output = BEGUN + several(lab.folder, [("lab/top-1", DIED), ("lab/one-1", "c.c:2: error: x\nexitcode: 2\n")])
    error = capsule.error_of(build, output)
    assert isinstance(error, PackageError)
    assert str(error).split("\n\n") == [
        f"lab/top-1 failed in its configure phase\n  no compiler\nlog: {lab.folder}/lab:top-1.log",
        f"lab/one-1 failed\n  c.c:2: error: x\n  exitcode: 2\nlog: {lab.folder}/lab:one-1.log",
    ]
    assert json.loads((build.scratch / capsule.RECORD).read_text())["package"] == "lab/top-1"


def test_of_many_packages_the_last_are_named_in_a_line_each(lab: Lab) -> None:
    output = several(lab.folder, [(f"lab/p{n}-1", f"reason {n}\n") for n in range(capsule.IN_FULL + 2)])
    *_, last = parts = str(capsule.error_of(source_build(lab.image), output)).split("\n\n")
    assert len(parts) == capsule.IN_FULL + 1
    assert last == "lab/p10-1 failed\nlab/p11-1 failed"


@pytest.mark.parametrize(
    "said", ["groupadd failed with status 10", "useradd failed with status 1", "Unable to locate group database '/x'"]
)
def test_accounts_without_their_files_name_the_option(lab: Lab, said: str) -> None:
    hint = "[build] baselayout_atoms = sys-apps/baselayout"
    died = f" * ERROR: acct-group/lab-0::lab failed (preinst phase):\n *   {said}\n"
    assert hint in str(capsule.error_of(source_build(lab.image), died))
    assert hint not in str(
        capsule.error_of(source_build(lab.image), died.replace(said, "groupadd failed with status 9"))
    )


def test_after_baselayout_accounts_fail_for_another_reason(lab: Lab) -> None:
    configure(lab, "baselayout_atoms = lab/base\n")
    died = " * ERROR: acct-group/lab-0::lab failed (preinst phase):\n *   groupadd failed with status 10\n"
    assert "baselayout_atoms" not in str(capsule.error_of(source_build(lab.image), died))


@pytest.mark.parametrize(("declared", "leads"), [("", True), ("make\tmake\tevery build\n", False)])
def test_a_tree_that_declares_no_tools_is_for_a_stage(lab: Lab, declared: str, leads: bool) -> None:
    if declared:
        write(lab.tree, {"metadata/quern-tools": declared})
    error = capsule.error_of(source_build(lab.image), 'emerge: there are no ebuilds to satisfy "dev-util/tool".\n')
    assert ("driver = docker" in str(error)) is leads
    assert ("package.provided" in str(error)) is not leads
