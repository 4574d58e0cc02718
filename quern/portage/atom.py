"""What a package atom looks like (PMS 8.3), as far as text alone can tell.

emerge skips a line of a profile that is no atom, says so among other lines and exits 0; quern looks first and refuses.
The check refuses what Portage would refuse (tests compare the two), and blockers and conditional USE dependencies,
which Portage takes and which mean nothing in a profile.
"""

from __future__ import annotations

import re

__all__ = ["is_flag", "package_of", "problem", "problem_of_version"]

_CATEGORY = r"[A-Za-z0-9_][A-Za-z0-9_+.-]*"  # PMS 3.1.1
_PACKAGE = r"[A-Za-z0-9_][A-Za-z0-9_+-]*?"  # PMS 3.1.2
_VERSION = r"\d+(?:\.\d+)*[a-z]?(?:_(?:alpha|beta|pre|rc|p)\d*)*(?:-r\d+)?"  # PMS 3.2
_SLOT = r"[A-Za-z0-9_][A-Za-z0-9_+.-]*"  # PMS 3.1.3
_REPOSITORY = r"[A-Za-z0-9_][A-Za-z0-9_-]*"  # PMS 3.1.5
_FLAG = r"[A-Za-z0-9][A-Za-z0-9+_@-]*"  # PMS 3.1.4
_ATOM = (
    rf"(?P<op>[<>]=?|=|~)?(?P<name>{_CATEGORY}/{_PACKAGE})(?:-(?P<version>{_VERSION}))?(?P<star>\*)?"
    rf"(?::(?P<slot>[^:\[\]]*))?(?:::(?P<repository>[^\[\]]*))?(?:\[(?P<use>.*)\])?"
)


def package_of(atom: str) -> str | None:
    """Give `category/package` of an atom, or None when `atom` is none."""
    match = re.fullmatch(_ATOM, atom, re.ASCII)
    return match["name"] if match else None


def problem(atom: str, eapi: int = 8) -> str | None:
    """Say why `atom` is not one in profiles of this EAPI, or None when it is: one clause, without the atom itself."""
    if "*" in atom.split("[")[0].rstrip("*") or atom in ("*", "*/*"):
        return "wildcards are for /etc/portage, a profile needs category/package"
    if atom.startswith("!"):
        return "a blocker has no meaning here"
    match = re.fullmatch(_ATOM, atom, re.ASCII)
    if match is None or _ends_in_version(match["name"]):
        return _near_miss(atom)
    return _problem_of_parts(match, eapi)


def problem_of_version(cpv: str) -> str | None:
    """Say why `cpv` is not `category/package-version`, as package.provided lists them (portage(5)); None when it is."""
    match = re.fullmatch(_ATOM, "=" + cpv, re.ASCII)
    if match is None or match["version"] is None or any(match[part] for part in ("star", "slot", "repository", "use")):
        return "expected category/package-version, without operator or slot"
    return None


def is_flag(word: str) -> bool:
    """Whether a word can be the name of a USE flag."""
    return re.fullmatch(_FLAG, word, re.ASCII) is not None


def _problem_of_parts(match: re.Match[str], eapi: int) -> str | None:
    operator, version, star = match["op"], match["version"], match["star"]
    if operator and not version:
        return f"'{operator}' needs a version"
    if version and not operator:
        return "a version needs an operator: write ="
    if star and operator != "=":
        return "'*' after a version needs the operator '='"
    if match["repository"] is not None:
        return "a profile's atoms name no repository (::)"
    return _problem_of_slot(match["slot"], eapi) or _problem_of_use(match["use"], eapi)


def _problem_of_slot(slot: str | None, eapi: int) -> str | None:
    if slot is None:
        return None
    if eapi < 1:
        return "slots need an `eapi` file of 1 or more beside this file"
    operators = rf"(?:(?:{_SLOT})(?:/{_SLOT})?=?|[*=])" if eapi >= 5 else _SLOT
    return None if re.fullmatch(operators, slot, re.ASCII) else f"':{slot}' is no slot"


def _problem_of_use(use: str | None, eapi: int) -> str | None:
    if use is None:
        return None
    if eapi < 2:
        return "USE dependencies need an `eapi` file of 2 or more beside this file"
    default = r"(?:\([+-]\))?" if eapi >= 4 else ""
    for flag in use.split(","):
        if not re.fullmatch(rf"-?{_FLAG}{default}", flag, re.ASCII):
            return f"'{flag}' is no USE dependency"
    return None


def _ends_in_version(name: str) -> bool:
    return re.search(rf"-{_VERSION}\Z", name, re.ASCII) is not None


def _near_miss(atom: str) -> str:
    if "/" not in atom:
        return "expected category/package"
    if re.search(r"\s", atom):
        return "expected one atom on a line"
    return "expected [operator]category/package[-version][:slot][use]"
