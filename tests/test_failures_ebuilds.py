"""Ebuilds that Portage cannot read: what it says of each, asked of the real resolver, and what we make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quern.errors import BuildError, display
from quern.portage import emerge
from quern.portage.failures_ebuilds import left_out, of_masks, unread, without
from quern.steps.base import run_step
from quern.steps.chain import steps_of
from quern.steps.resolution import resolve
from tests.projects import Said, image_of, overlay_image, run, source_build, write
from tests.test_emerging import TREE, ebuild

DIED = """\
Messages for package lab/toy-1::lab:
 * ERROR: lab/toy-1::lab failed (depend phase):
 *   {said}
 * 
 * Call stack:
 *      ebuild.sh, line 693:  Called source '/t/lab/toy/toy-1.ebuild'
 *   toy-1.ebuild, line   7:  Called inherit 'foo'
 *      ebuild.sh, line 317:  Called __qa_source '/t/eclass/foo.eclass'
 *     foo.eclass, line   2:  Called die
 * The specific snippet of code:
 *   x
"""  # noqa: W291 (as Portage prints it)
LAST = """\
 * ERROR: lab/toy-1::lab failed (depend phase):
 *   error sourcing ebuild
 * 
 * Call stack:
 *   ebuild.sh, line 693:  Called die
"""  # noqa: W291
CORRUPT = "- lab/toy-1::lab (masked by: corruption)\n"

SAYINGS = {
    DIED.format(said="EAPI 8 is not supported"): "/t/eclass/foo.eclass:2: EAPI 8 is not supported",
    "/t/lab/toy/toy-1.ebuild: line 3: warning: here-document at line 2 delimited by end-of-file\n"
    "/t/lab/toy/toy-1.ebuild: line 9: syntax error near unexpected token `}'\n"
    "/t/lab/toy/toy-1.ebuild: line 9: `}'\n" + LAST: (
        "/t/lab/toy/toy-1.ebuild:9: syntax error near unexpected token `}'"
    ),
    "/p/bin/ebuild.sh: line 130: /t/eclass/foo.eclass: Permission denied\n"
    + DIED.format(said="died sourcing /t/eclass/foo.eclass in inherit()"): "/t/eclass/foo.eclass: Permission denied",
    LAST: "error sourcing ebuild: the last command outside of its functions fails",
    " * EAPI assignment in ebuild 'lab/toy-1::lab' does not conform with PMS\n * section 7.3.1 (see bug #402167):\n"
    " * \tvalid EAPI assignment must occur on or before line: 1\n": (
        "EAPI assignment: must occur on or before line: 1"
    ),
    "!!! aux_get(): metadata phase for package 'lab/toy-1' failed with unexpected returncode 3\n": (
        "the ebuild or an eclass ends bash (calls `exit`) outside of functions"
    ),
    " * Manifest not found for '/t/lab/toy/toy-1.ebuild'\n": "/t/lab/toy/toy-1.ebuild: there is no Manifest",
    " * Missing digest for '/t/lab/toy/toy-1.ebuild'\n": "/t/lab/toy/toy-1.ebuild: it is not in its Manifest",
    " * Digest verification failed:\n * /t/lab/toy/toy-1.ebuild\n * Reason: Filesize does not match recorded size\n": (
        "/t/lab/toy/toy-1.ebuild: not as its Manifest describes it: Filesize does not match recorded size"
    ),
    # as an ordinary user, with a Portage of which he may not run or read that
    "[lab/toy-1] bash: line 1: /p/bin/ebuild.sh: Permission denied\n" + CORRUPT: (
        "Portage cannot run its own /p/bin/ebuild.sh: Permission denied"
    ),
    "/p/bin/ebuild.sh: line 13: /p/bin/isolated-functions.sh: Permission denied\n" + CORRUPT: (
        "Portage cannot run its own /p/bin/isolated-functions.sh: Permission denied"
    ),
}


@pytest.mark.parametrize("output", SAYINGS)
def test_where_and_why(output: str) -> None:
    assert unread(output) == {"lab/toy-1": SAYINGS[output]}


def test_each_reason_is_of_its_own_ebuild() -> None:
    other = LAST.replace("toy-1", "toy-2")
    syntax = "/t/lab/toy/toy-2.ebuild: line 9: syntax error: unexpected end of file\n"
    found = unread(DIED.format(said="no") + syntax + other + "ends in nothing\n" + LAST.replace("toy-1", "toy-3"))
    assert found == {
        "lab/toy-1": "/t/eclass/foo.eclass:2: no",
        "lab/toy-2": "/t/lab/toy/toy-2.ebuild:9: syntax error: unexpected end of file",
        "lab/toy-3": SAYINGS[LAST],
    }


def test_only_corruption_is_explained() -> None:
    output = DIED.format(said="no")
    assert of_masks([("lab/toy-1", "package.mask")], [], output) is None
    assert of_masks([("lab/toy-1", "corruption")], [], "") is None
    failure = of_masks([("lab/toy-1", "corruption"), ("lab/toy-0", "~amd64 keyword")], ["required by @profile"], output)
    assert failure is not None
    assert failure.reasons == ("lab/toy-0: ~amd64 keyword", "required by @profile")


def test_a_manifest_without_one_version_is_no_use_to_the_others() -> None:
    output = " * Missing digest for '/t/lab/toy/toy-0.ebuild'\n"
    failure = of_masks([("lab/toy-1", "corruption"), ("lab/toy-0", "corruption")], [], output)
    assert failure is not None
    assert failure.summary == "lab/toy-1 cannot be used: /t/lab/toy/toy-0.ebuild: it is not in its Manifest"


def test_an_ebuild_that_is_passed_over_is_no_reason_for_another_s_failure() -> None:
    output = DIED.format(said="no") + " * ERROR: lab/b-1::lab failed (compile phase):\n *   yes\n"
    assert without(output).count(" * ERROR") == 1
    assert "lab/b-1" in without(output)


def test_what_is_passed_over() -> None:
    setting = '"/t/profiles/image/make.defaults", line 9: unexpected EOF while looking for matching `}\'\n'
    output = (
        "\nInvalid ebuild name: /t/lab/toy/toy-2.x.ebuild\n" * 2 + setting + "--- Invalid atom in /t/x: lab/toy-1\n"
    )
    assert left_out(output) == [
        "/t/lab/toy/toy-2.x.ebuild is left out: expected a name toy-VERSION.ebuild",
        "/t/profiles/image/make.defaults:9: unexpected EOF while looking for matching `}'",
        "Invalid atom in /t/x: lab/toy-1",
    ]


# a package of the tree: files of it, and the beginning of the message
REAL: dict[str, tuple[dict[str, str | bytes], str]] = {
    "lab/inherit": (
        {"inherit/inherit-1.ebuild": ebuild("inherit nosuch")},
        "lab/inherit-1 cannot be used: {tree}/lab/inherit/inherit-1.ebuild:7: nosuch.eclass could not be found",
    ),
    "lab/binary": (
        {"binary/binary-1.ebuild": b"\x7fELF\0\0\1\2" * 50},
        "lab/binary-1 cannot be used: {tree}/lab/binary/binary-1.ebuild: expected text, got binary data",
    ),
    "lab/exit": (
        {"exit/exit-1.ebuild": ebuild("exit 3")},
        "lab/exit-1 cannot be used: {tree}/lab/exit/exit-1.ebuild: the ebuild or an eclass ends bash",
    ),
    "lab/eapi": (
        {"eapi/eapi-1.ebuild": "inherit good\n" + ebuild(), "../eclass/good.eclass": ""},
        "lab/eapi-1 cannot be used: {tree}/lab/eapi/eapi-1.ebuild: EAPI assignment: must occur on or before line: 1",
    ),
    "lab/uri": (
        {"uri/uri-1.ebuild": ebuild('SRC_URI="http://127.0.0.1/ -> "')},
        "lab/uri-1 cannot be used: {tree}/lab/uri/uri-1.ebuild: SRC_URI: Missing file name at end of string",
    ),
    "lab/name": (
        {"name/nam-1.ebuild": ebuild()},
        "{tree}/lab/name/nam-1.ebuild: expected a name name-VERSION.ebuild\n",
    ),
    "new/toy": (
        {"../new/toy/toy-1.ebuild": ebuild()},
        "{tree}/profiles/categories: the category new is not listed, so that Portage does not see {tree}/new/toy\n",
    ),
}


@pytest.mark.emerge
def test_the_real_resolver_s_words_are_understood(tmp_path: Path) -> None:
    tree = write(tmp_path / "tree", TREE)
    for files, _ in REAL.values():
        for name, content in files.items():
            path = tree / "lab" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    write(tmp_path, {"lab.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n"})
    build = source_build(image_of(tmp_path / "lab.conf", tmp_path / "work"))
    for package, (_, expected) in REAL.items():
        with pytest.raises(BuildError) as error:
            build.plan(emerge.source_options(1, binhost=False), [package])
        assert str(error.value).startswith(expected.format(tree=display(tree)))
        build.prepare()


@pytest.mark.emerge
def test_an_ebuild_that_is_passed_over_is_told(tmp_path: Path) -> None:
    """Portage takes the older version without a word, though the newer was edited a moment ago."""
    tree = write(tmp_path / "tree", {**TREE, "lab/base/base-2.ebuild": ebuild("inherit nosuch")})
    write(tmp_path, {"lab.conf": "[portage]\nrepositories = ./tree\n[build]\nprofile = lab:image\n"})
    build = source_build(image_of(tmp_path / "lab.conf", tmp_path / "work"))
    assert "lab/base-1" in [package.cpv for package in resolve(build, ["lab/base"]).plan.packages]
    assert isinstance(build.run.say, Said)
    where = display(tree / "lab/base/base-2.ebuild")
    warnings = [line for line in build.run.say.lines if line.startswith("Warning")]
    assert warnings == [
        f"Warning: lab/base-2 is left out: {where}:7: nosuch.eclass could not be found by inherit()",
    ]


@pytest.mark.emerge
def test_a_file_of_the_project_is_named_rather_than_its_copy(tmp_path: Path) -> None:
    write(tmp_path / "tree", TREE)
    write(
        tmp_path / "profiles",
        {
            "repo_name": "own\n",
            "one/quern.conf": "[portage]\nrepositories = ./tree\n",
            "one/parent": "lab:image\n",
            "one/make.defaults": '# "\n\nCFLAGS="-O2\nLDFLAGS=-s\n',
        },
    )
    image = overlay_image(tmp_path / "profiles/one", tmp_path / "work")
    for step in steps_of(image)[:1]:
        run_step(step, run())
    with pytest.raises(BuildError) as error:
        run_step(steps_of(image)[1], run())
    where = display(tmp_path / "profiles/one/make.defaults")
    assert str(error.value).startswith(f"{where}:3: the quotation that begins here is not closed\n")
