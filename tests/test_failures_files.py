"""What a look at the files shows of a failure that emerge explains otherwise, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quern.errors import display
from quern.portage.failure import Failure, Kind
from quern.portage.failures_building import Machine
from quern.portage.failures_files import completed
from quern.portage.repository import read_repository
from tests.projects import write

LAB = {
    "metadata/layout.conf": "masters =\n",
    "profiles/repo_name": "lab\n",
    "profiles/categories": "lab\n",
    "profiles/image/make.defaults": "",
}


@pytest.fixture
def explained(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Gives (summary, the rest) of a failure in a repository with some more files; {tree} stands for its folder."""

    def explained(failure: Failure, files: dict[str, str], output: str = "") -> tuple[str, str]:
        tree = write(tmp_path / "tree", {**LAB, **files})
        machine = Machine(str, 0, [read_repository(tree)], tree / "profiles/image")
        found = completed(failure, output.replace("{tree}", str(tree)), machine)
        first, _, rest = str(found).replace(display(tree), "{tree}").partition("\n")
        return first, rest

    return explained


def unsatisfied(atom: str) -> Failure:
    return Failure(Kind.UNSATISFIED, atom, f"no repository has {atom}", ("required by @profile",))


def unread(reason: str) -> Failure:
    return Failure(Kind.EBUILD, "lab/toy-1", f"lab/toy-1 cannot be used: {reason}", hint="Correct it.")


Explained = Callable[..., tuple[str, str]]


def test_a_category_that_is_not_listed(explained: Explained) -> None:
    first, rest = explained(unsatisfied(">=new/toy-1"), {"new/toy/toy-1.ebuild": ""})
    assert first == (
        "{tree}/profiles/categories: the category new is not listed, so that Portage does not see {tree}/new/toy"
    )
    assert rest == "  required by @profile\nWrite a line `new` into that file."


def test_a_package_that_is_nowhere(explained: Explained) -> None:
    for atom in ("new/toy", "lab/absent"):
        assert explained(unsatisfied(atom), {}) == (f"no repository has {atom}", "  required by @profile")


@pytest.mark.parametrize("name", ["toi-1.ebuild", "toy.ebuild", "toy-1.x.ebuild", "toy-1.ebuild.txt"])
def test_a_wrong_name(explained: Explained, name: str) -> None:
    first, rest = explained(unsatisfied("lab/toy"), {f"lab/toy/{name}": ""})
    assert first == f"{{tree}}/lab/toy/{name}: expected a name toy-VERSION.ebuild"
    assert rest == "  no other ebuild fits lab/toy\n  required by @profile\nCorrect the file or its name."


def test_right_names_are_not_blamed(explained: Explained) -> None:
    files = {"lab/toy/toy-1.2_rc3-r1.ebuild": "", "lab/toy/metadata.xml": "", "lab/toy/files/x.ebuild.patch": ""}
    assert explained(unsatisfied(">=lab/toy-2"), files)[0] == "no repository has >=lab/toy-2"


def test_a_folder_without_ebuild(explained: Explained) -> None:
    first, _ = explained(unsatisfied("lab/toy"), {"lab/toy/metadata.xml": ""})
    assert first == "{tree}/lab/toy: expected a file toy-VERSION.ebuild, there is none"


def test_a_link_to_nothing(explained: Explained, tmp_path: Path) -> None:
    (tmp_path / "tree/lab/toy").mkdir(parents=True)
    (tmp_path / "tree/lab/toy/toy-1.ebuild").symlink_to("nowhere")
    assert (
        explained(unsatisfied("lab/toy"), {})[0] == "{tree}/lab/toy/toy-1.ebuild: a link to nowhere, which is not there"
    )


@pytest.fixture
def ordinary(tmp_path: Path) -> Iterator[None]:
    """The test runs as an ordinary user, who can reach its folder."""
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o011 != 0o011:
            parent.chmod(parent.stat().st_mode | 0o011)  # pytest's own folders are 0700
    if os.geteuid() != 0:
        yield
        return
    tmp_path.chmod(0o777)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.usefixtures("ordinary")
def test_what_an_ordinary_user_may_not_read(explained: Explained, tmp_path: Path) -> None:
    """Portage lists neither."""
    tree = write(tmp_path / "tree", {"lab/toy/toy-1.ebuild": "", "lab/shut/shut-1.ebuild": ""})
    (tree / "lab/toy/toy-1.ebuild").chmod(0)
    (tree / "lab/shut").chmod(0)
    first, rest = explained(unsatisfied("lab/toy"), {})
    assert first == "{tree}/lab/toy/toy-1.ebuild: Permission denied"
    assert rest.endswith("\nWhoever builds must be able to read it.")
    assert explained(unsatisfied("lab/shut"), {})[0] == "{tree}/lab/shut: Permission denied"
    (tree / "lab/shut").chmod(0o755)


def test_a_reason_without_file_gets_the_ebuild(explained: Explained) -> None:
    first, _ = explained(unread("it calls exit"), {"lab/toy/toy-1.ebuild": "exit\n"})
    assert first == "lab/toy-1 cannot be used: {tree}/lab/toy/toy-1.ebuild: it calls exit"


def test_binary_data(explained: Explained, tmp_path: Path) -> None:
    reason = f"{display(tmp_path / 'tree/lab/toy/toy-1.ebuild')}:1: External commands disallowed: ELF"
    first, _ = explained(unread(reason), {"lab/toy/toy-1.ebuild": "\x7fELF\0\1\2"})
    assert first == "lab/toy-1 cannot be used: {tree}/lab/toy/toy-1.ebuild: expected text, got binary data"
    assert "External" in explained(unread(reason), {"lab/toy/toy-1.ebuild": "ELF\n"})[0]


def test_an_eclass_of_a_repository_that_is_no_master(explained: Explained, tmp_path: Path) -> None:
    reason = f"{display(tmp_path / 'tree/lab/toy/toy-1.ebuild')}:7: foo.eclass could not be found by inherit()"
    files = {"lab/toy/toy-1.ebuild": "inherit foo\n"}
    assert explained(unread(reason), files)[1] == "Correct it."
    rest = explained(unread(reason), {**files, "eclass/foo.eclass": ""})[1]
    assert rest == (
        "The repository lab has this eclass: "
        "`masters` in metadata/layout.conf of the ebuild's repository is to name lab."
    )
    (tmp_path / "tree/eclass/foo.eclass").unlink()
    os.mkfifo(tmp_path / "tree/eclass/foo.eclass")
    assert explained(unread(reason), files)[1] == "{tree}/eclass/foo.eclass: expected a file, got a pipe"


def test_a_profile_without_arch(explained: Explained) -> None:
    failure = Failure(Kind.PROFILE, None, "the profile sets no ARCH", hint="Set it.")
    first = "{tree}/profiles/image: the profile sets no ARCH in make.defaults"
    assert explained(failure, {}) == (f"{first}, and it has no file `parent` to inherit it by", "Set it.")
    assert explained(failure, {"profiles/image/parent": "../base\n"}) == (first, "Set it.")


@pytest.mark.parametrize(
    ("text", "line"), [('# "\nA="${B} #=x"\n\nC="-O2\nD=1\n', 4), ("A='x\n", 1), ('A=1\nB="c\nd\n', 2)]
)
def test_where_a_quotation_begins(explained: Explained, tmp_path: Path, text: str, line: int) -> None:
    file = tmp_path / "tree/profiles/image/make.defaults"
    failure = Failure(Kind.PROFILE, None, f"{display(file)}:9: No closing quotation")
    first, _ = explained(failure, {"profiles/image/make.defaults": text})
    assert first == f"{{tree}}/profiles/image/make.defaults:{line}: the quotation that begins here is not closed"
