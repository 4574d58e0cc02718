"""LICENSE of an installed package (PMS 7.3.4) as an SPDX licence expression (SPDX 2.3, annex D).

Portage writes it to its database with the USE conditionals evaluated. Names are those of Gentoo's files in licenses/;
one that SPDX does not have, or not surely the same, becomes `LicenseRef-NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

REF = "LicenseRef-"

_SAME = (
    "0BSD", "AFL-2.1", "AFL-3.0", "Apache-1.0", "Apache-1.1", "Apache-2.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-2.5",
    "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDDL-1.1", "CPL-1.0", "EPL-1.0", "EPL-2.0", "EUPL-1.1", "EUPL-1.2",
    "FTL", "HPND", "IJG", "ISC", "Info-ZIP", "LPPL-1.3c", "MIT", "MIT-0", "MPL-1.0", "MPL-1.1", "MPL-2.0", "MS-PL",
    "OFL-1.1", "PHP-3.01", "QPL-1.0", "SGI-B-2.0", "Sleepycat", "Unlicense", "W3C", "curl",
)  # fmt: skip

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
    """Gentoo's names with what they are in SPDX."""
    known = {**dict(zip(_SAME, _SAME, strict=True)), **_OTHER}
    for name, (spdx, versions) in _FAMILIES.items():
        for version in versions:
            number = version if "." in version else f"{version}.0"
            known[f"{name}-{version}"] = f"{spdx}-{number}-only"
            known[f"{name}-{version}+"] = f"{spdx}-{number}-or-later"
    return known


KNOWN = _known()


class _Group(NamedTuple):
    """Licences of which all hold (AND) or one is to be chosen (OR)."""

    operator: str
    terms: list[str | _Group]


def expression(text: str) -> str:
    """The SPDX expression of a LICENSE without conditionals; empty where there is none."""
    return _text(_group(iter(text.split()), "AND"))


def references(text: str) -> dict[str, str]:
    """The names in a LICENSE that SPDX does not have, by the `LicenseRef-` that stands for them, sorted."""
    names = {token for token in text.split() if token not in ("||", "(", ")") and token not in KNOWN}
    return {_spdx(name): name for name in sorted(names)}


def _group(tokens: Iterator[str], operator: str) -> _Group:
    """What stands before the closing bracket, or the end."""
    group, following = _Group(operator, []), "AND"
    for token in tokens:
        if token == ")":
            break
        if token == "||":
            following = "OR"
        elif token == "(":
            group.terms.append(_group(tokens, following))
            following = "AND"
        else:
            group.terms.append(_spdx(token))
    return group


def _text(group: _Group, around: str = "") -> str:
    """The group in SPDX's words, in brackets if it has another operator than what is `around` it."""
    texts = {(term if isinstance(term, str) else _text(term, group.operator)): term for term in group.terms}
    texts.pop("", None)  # a group of nothing
    if len(texts) == 1:
        ((text, term),) = texts.items()
        return text if isinstance(term, str) else _text(term, around)
    joined = f" {group.operator} ".join(texts)
    return f"({joined})" if texts and around not in ("", group.operator) else joined


def _spdx(name: str) -> str:
    """One licence: a reference has letters, digits, `.` and `-`."""
    return KNOWN.get(name) or REF + re.sub(r"[^A-Za-z0-9.-]", "-", name.replace("+", "-plus"))
