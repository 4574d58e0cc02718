"""Gentoo's LICENSE as an SPDX expression, held against SPDX's own list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("license_expression", reason="license-expression is missing (pip)")

from quern.portage.licences import KNOWN, SPDX, expression, references


@pytest.mark.parametrize(
    ("gentoo", "spdx"),
    [
        ("", ""),
        ("MIT", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("FDL-1.3+ LGPL-2.1", "GFDL-1.3-or-later AND LGPL-2.1-only"),
        ("MIT MIT", "MIT"),
        ("|| ( MIT BSD )", "MIT OR BSD-3-Clause"),
        ("ISC || ( MIT ( BSD GPL-3 ) )", "ISC AND (MIT OR (BSD-3-Clause AND GPL-3.0-only))"),
        ("( ISC ( MIT ) )", "ISC AND MIT"),
        ("|| ( MIT ) ISC", "MIT AND ISC"),
        ("|| ( ( ) MIT )", "MIT"),
        ("ISC || ( || ( MIT BSD ) )", "ISC AND (MIT OR BSD-3-Clause)"),
        ("ISC || ( || ( MIT BSD ) || ( MIT BSD ) )", "ISC AND (MIT OR BSD-3-Clause)"),
        ("( MIT ISC ) ( ISC MIT )", "MIT AND ISC"),
        ("CC-BY-NC-SA-4.0 BUSL-1.1", "CC-BY-NC-SA-4.0 AND BUSL-1.1"),
        ("LLVM-exception mit", "LicenseRef-LLVM-exception AND LicenseRef-mit"),
        ("public-domain", "LicenseRef-public-domain"),
        ("a_b+ MIT", "LicenseRef-a-b-plus AND MIT"),
    ],
)
def test_expression(gentoo: str, spdx: str) -> None:
    assert expression(gentoo) == spdx


def test_references() -> None:
    assert references("|| ( MIT z_1 ) public-domain") == {
        "LicenseRef-public-domain": "public-domain",
        "LicenseRef-z-1": "z_1",
    }


@pytest.mark.parametrize("spdx", sorted(KNOWN.values()))
def test_what_is_known_is_on_the_list(spdx: str) -> None:
    assert SPDX.validate(spdx).errors == []
    assert str(SPDX.parse(spdx)) == spdx  # its own spelling, of no name that was replaced


Tree = Any  # a name, or (is it any-of, what is in it)
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from(sorted(KNOWN)), lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=1, max_size=4))
)


def written(tree: Tree, names: Mapping[str, str], any_of: str, between: tuple[str, str]) -> str:
    """A tree with every bracket there could be; `between` are what joins all-of and any-of."""
    if isinstance(tree, str):
        return names[tree]
    is_any, terms = tree
    inner = between[is_any].join(written(term, names, any_of, between) for term in terms)
    return f"{any_of if is_any else ''}( {inner} )"


@given(TREES)
def test_any_licence_means_the_same(tree: Tree) -> None:
    gentoo = written(tree, {name: name for name in KNOWN}, "|| ", (" ", " "))
    meant = written(tree, {name: f"({spdx})" for name, spdx in KNOWN.items()}, "", (" AND ", " OR "))
    assert SPDX.is_equivalent(SPDX.parse(expression(gentoo), validate=True), SPDX.parse(meant))
