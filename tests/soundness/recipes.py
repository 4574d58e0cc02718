"""The ebuilds and eclasses of the generated tree, and their md5-cache entries as egencache writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# name: what it inherits, and what it adds to the ebuild's own variables
ECLASSES: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "common": ((), {}),
    "flags": ((), {"IUSE": "debug"}),
    "build": (("common", "flags"), {"BDEPEND": "dev-util/make-tool"}),
    "docs": (("common",), {"IUSE": "doc", "BDEPEND": "doc? ( dev-util/doc-tool )"}),
    "script": (("build",), {"RDEPEND": "dev-lang/script", "DEPEND": "dev-lang/script"}),
    "multi": (("flags",), {"IUSE": "multi"}),
    "fetch": ((), {}),
    "unused": (("common",), {"IUSE": "odd"}),
}
# in this order in every ebuild, each in a line of its own, so that a mutation replaces a line
VARIABLES = (
    "DESCRIPTION", "SRC_URI", "LICENSE", "SLOT", "KEYWORDS", "IUSE", "REQUIRED_USE", "RESTRICT", "PROPERTIES",
    "DEPEND", "RDEPEND", "BDEPEND", "PDEPEND",
)  # fmt: skip
INSTALL = 'src_install() {\n\techo "${PF}" > "${T}"/installed || die\n}\n'


class Recipe(NamedTuple):
    """One ebuild."""

    eapi: str
    inherits: tuple[str, ...]
    variables: Mapping[str, str]

    def text(self) -> str:
        """The ebuild."""
        inherit = f"inherit {' '.join(self.inherits)}" if self.inherits else "# inherits nothing"
        lines = [f'{name}="{self.variables.get(name, "")}"' for name in VARIABLES if self.is_known(name)]
        return "\n".join([f"EAPI={self.eapi}", inherit, *lines, 'S="${WORKDIR}"', INSTALL])

    def is_known(self, variable: str) -> bool:
        """Whether its EAPI has the variable (PMS 7.3)."""
        return variable != "BDEPEND" or self.eapi != "6"

    def all_eclasses(self) -> list[str]:
        """Those inherited, indirectly too."""
        found: list[str] = []
        todo = list(self.inherits)
        while todo:
            name = todo.pop()
            if name not in found:
                found.append(name)
                todo += ECLASSES[name][0]
        return sorted(found)


def eclass_text(name: str, overlay: str = "") -> str:
    """An eclass; one in an overlay differs by a line that says so."""
    inherits, variables = ECLASSES[name]
    lines = [f"# {name}.eclass {overlay}".rstrip(), f"if [[ -z ${{_{name.upper()}_ECLASS}} ]]; then"]
    lines.append(f"_{name.upper()}_ECLASS=1")
    lines += [f"inherit {' '.join(inherits)}"] if inherits else []
    lines += [f'{variable}="{value}"' for variable, value in variables.items()]
    return "\n".join([*lines, "fi", f"{name}_do() {{ :; }}", ""])


def cache_entry(recipe: Recipe, eclasses: Mapping[str, str]) -> str:
    """What egencache writes to metadata/md5-cache; `eclasses` are the texts of the inherited ones by name."""
    values = {name: value for name, value in recipe.variables.items() if value and recipe.is_known(name)}
    for eclass in _in_order(recipe.inherits):
        for name, value in ECLASSES[eclass][1].items():
            if recipe.is_known(name):
                values[name] = f"{values.get(name, '')} {value}".strip()
    values |= {"DEFINED_PHASES": "install", "EAPI": recipe.eapi}
    if recipe.inherits:
        values["INHERIT"] = " ".join(recipe.inherits)
        words = [f"{name}\t{_md5(eclasses[name])}" for name in recipe.all_eclasses()]
        values["_eclasses_"] = "\t".join(words)
    values["_md5_"] = _md5(recipe.text())
    return "".join(f"{name}={value}\n" for name, value in sorted(values.items()))


def _in_order(inherits: Sequence[str]) -> list[str]:
    """The eclasses in the order in which what they add comes: each after those that it inherits, once."""
    found: list[str] = []
    for name in inherits:
        found += [each for each in (*_in_order(ECLASSES[name][0]), name) if each not in found]
    return found


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
