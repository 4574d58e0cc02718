"""Our reading of PMS atoms, compared with Portage's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quern.portage.atom import package_of, problem, problem_of_version

ATOMS = [
    "a/b", "a/b:1", "a/b[x]", "a/b:=", "a/b:1=", "a/b:1/2", "a/b:1/2=", "a/b:*", "=a/b-1", "a/b-1", "=a/b", "=a/b-1*",
    "~a/b-1-r1", "~a/b-1*", "a/b::r", "*/*", "a/*", "a", "a/b[x(+)]", "a/b[-x]", ">=a/b-1.2_rc1-r3:2[x,-y]", "a/b-1a",
    "=a/b-c-1", "a/b-1-r1", "=a/b-1-2", "a+/b", "a/b+", "a/+b", "a/b:", "a/b[]", "a/b[x,]", "=a/b-1.*", ".a/b",
    "a/b:0/", "-a/b", "a/b:-1", "=a/b-1-r01", "=a/b-1_foo", "a/b-1.2x*", "", "a/b c/d", "a/b\n", "=a/b-1:1", "a/b:1:2",
    "==a/b-1",
]  # fmt: skip


def portage_refuses(atom: str, eapi: int) -> bool:
    dep = pytest.importorskip("portage.dep", reason="Portage is not installed")
    from portage.exception import InvalidAtom

    try:
        dep.Atom(atom, eapi=str(eapi), allow_repo=False, allow_wildcard=False)
    except InvalidAtom:
        return True
    return False


@pytest.mark.parametrize("eapi", [0, 1, 2, 4, 5, 6, 7, 8])
def test_we_refuse_what_portage_refuses(eapi: int) -> None:
    assert [atom for atom in ATOMS if (problem(atom, eapi) is not None) != portage_refuses(atom, eapi)] == []


@given(st.text("ab1.-_/=<>~:[],*+r", min_size=1, max_size=12), st.sampled_from([0, 1, 2, 4, 5, 6, 8]))
def test_we_refuse_what_portage_refuses_of_anything(atom: str, eapi: int) -> None:
    if atom.startswith("-"):
        return  # profiles use it to take an atom back
    conditional = "=]" in atom or "=," in atom
    if not conditional:
        assert (problem(atom, eapi) is not None) == portage_refuses(atom, eapi)


def test_reasons_say_what_to_write() -> None:
    assert problem("dev-lang/python-3.13") == "a version needs an operator: write ="
    assert problem("=dev-lang/python") == "'=' needs a version"
    assert problem("python") == "expected category/package"
    assert problem("*/*") == "wildcards are for /etc/portage, a profile needs category/package"
    assert problem("a/b:1", 0) == "slots need an `eapi` file of 1 or more beside this file"
    assert problem("a/b c/d") == "expected one atom on a line"
    assert problem("!a/b") == "a blocker has no meaning here"


def test_names_and_provided_versions() -> None:
    assert package_of(">=dev-lang/python-3.13_rc1:3.13[ssl]") == "dev-lang/python"
    assert package_of("nonsense") is None
    assert problem_of_version("app-admin/python-updater-0.11") is None
    assert problem_of_version("app-admin/python-updater")
    assert problem_of_version("app-admin/python-updater-0.11:0")
