"""LICENSE of an installed package (PMS 7.3.4) as an SPDX licence expression (SPDX 2.3, annex D).

Portage writes it to its database with the USE conditionals evaluated. Names are those of Gentoo's files in licenses/;
one that is neither an SPDX id nor in KNOWN becomes `LicenseRef-NAME`. SPDX's list, and how an expression is
written, are license-expression's. Its parser is for SPDX's syntax, not for PMS 8.2, where `||` stands before a group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from license_expression import get_spdx_licensing

SPDX: Any = get_spdx_licensing()

REF = "LicenseRef-"

_OTHER = {
    "Apache-2.0-with-LLVM-exceptions": "Apache-2.0 WITH LLVM-exception",
    "Artistic-2": "Artistic-2.0",
    "Boost-1.0": "BSL-1.0",
    "BSD": "BSD-3-Clause",
    "BSD-1": "BSD-1-Clause",
    "BSD-2": "BSD-2-Clause",
    "BSD-4": "BSD-4-Clause",
    "BZIP2": "bzip2-1.0.6",
    "CDDL": "CDDL-1.0",
    "GPL-2-with-classpath-exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "OPENLDAP": "OLDAP-2.8",
    "PSF-2": "PSF-2.0",
    "UoI-NCSA": "NCSA",
    "WTFPL-2": "WTFPL",
    "ZLIB": "Zlib",
    "icu": "ICU",
    "libpng": "Libpng",
    "libpng2": "libpng-2.0",
    "openssl": "OpenSSL",
    "tcltk": "TCL",
    "vim": "Vim",
}
_FAMILIES = {  # NAME-VERSION is `only` that version, NAME-VERSION+ `or later`
    "GPL": ("GPL", ("1", "2", "3")),
    "LGPL": ("LGPL", ("2", "2.1", "3")),
    "AGPL": ("AGPL", ("3",)),
    "FDL": ("GFDL", ("1.1", "1.2", "1.3")),
}


def _known() -> dict[str, str]:
    """Gentoo's names with the SPDX ids that differ from them."""
    known = dict(_OTHER)
    for name, (spdx, versions) in _FAMILIES.items():
        for version in versions:
            number = version if "." in version else f"{version}.0"
            known[f"{name}-{version}"] = f"{spdx}-{number}-only"
            known[f"{name}-{version}+"] = f"{spdx}-{number}-or-later"
    return known


KNOWN = _known()


def expression(text: str) -> str:
    """Translate a LICENSE without conditionals; empty where there is none."""
    return " ".join(map(str, _joined(SPDX.AND, _terms(iter(text.split())))))


def references(text: str) -> dict[str, str]:
    """The names in a LICENSE that SPDX does not have, by the `LicenseRef-` that stands for them, sorted."""
    names = sorted(set(text.split()) - {"||", "(", ")"})
    return {spdx: name for name in names if (spdx := _spdx(name)).startswith(REF)}


def _terms(tokens: Iterator[str]) -> list[Any]:
    """Read the licences and groups before the closing bracket, or the end."""
    terms, operator = [], SPDX.AND
    for token in tokens:
        if token == ")":
            break
        if token == "||":
            operator = SPDX.OR
        elif token == "(":
            terms += _joined(operator, _terms(tokens))
            operator = SPDX.AND
        else:
            terms.append(SPDX.parse(_spdx(token)))
    return terms


def _joined(operator: Any, terms: list[Any]) -> list[Any]:  # noqa: ANN401 (the library's class AND or OR)
    """Join different terms by the operator, those of a group that it joins as well; a list of one, or of none."""
    flat = [inner for term in terms for inner in (term.args if isinstance(term, operator) else [term])]
    different = list(dict.fromkeys(flat))
    return [operator(*different)] if len(different) > 1 else different


def _spdx(name: str) -> str:
    """Translate one name. A reference has letters, digits, `.` and `-`."""
    if name in KNOWN:
        return KNOWN[name]
    symbol = SPDX.known_symbols.get(name)
    if symbol and not symbol.is_exception:
        return name
    return REF + re.sub(r"[^A-Za-z0-9.-]", "-", name.replace("+", "-plus"))
