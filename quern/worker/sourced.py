"""What a profile's bashrc may source besides itself: `source "${BASH_SOURCE%/*}/lib.sh"`.

Nobody can tell from a shell script what it will read. What is in its folder counts, and in folders in there, but for
what Portage itself reads and other profiles.
"""

from __future__ import annotations

import os

BASHRCS = ("profile.bashrc", "package.bashrc", "bashrc")  # what makes a profile one with shell code (portage(5))
# of a profile that has it: files that Portage reads, whose every effect is in what it plans and sets (PMS 5.2)
OF_PORTAGE = {"eapi", "parent", "packages", "packages.build", "make.defaults", "virtuals", "deprecated"}
KINDS = ("package.", "use.")
OF_QUERN = ("quern.conf", "tests")
LOCKS = (".lock", ".lock.new")
OF_EDITORS = ("~", ".swp")  # as what begins with .# they are there for a while


def sourced(folder: str) -> list[str]:
    """The names in a profile's folder that its bashrc may source, sorted; none where it has no bashrc."""
    names = sorted(os.listdir(folder))
    if not any(name in BASHRCS for name in names):
        return []
    others = [name for name in names if not _is_read(name) and name not in (*BASHRCS, *OF_QUERN)]
    others = [name for name in others if not name.startswith(".#") and not name.endswith((*LOCKS, *OF_EDITORS))]
    return [name for name in others if not _is_profile(os.path.join(folder, name))]


def _is_read(name: str) -> bool:
    return name in OF_PORTAGE or name.startswith(KINDS)


def _is_profile(path: str) -> bool:
    return os.path.isdir(path) and any(_is_read(name) or name in BASHRCS for name in os.listdir(path))
