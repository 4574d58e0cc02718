"""What to do where a phase names an account that its build does not have."""

from __future__ import annotations

import re

# chown, chgrp and install of coreutils; those of busybox; fowners of Portage; pwd and grp of Python
UNKNOWN = re.compile(
    r"(?:chown|chgrp|install): (?:invalid|unknown) (?P<kind>user|group)(?:/group)?:? ['`\u2018]?(?P<name>[\w.:+-]+)"
    r"|fowners: invalid (?P<kind_of_fowners>user|group) in \S+: (?P<name_of_fowners>\S+)"
    r"|get(?P<kind_of_python>pw|gr)nam\(\): name not found: '(?P<name_of_python>[^']+)'"
)
HINT = (
    "A build knows root, nobody and the accounts that what it is built with has added, none of this machine's:"
    " {kind} {name} must come from a package that it depends on (acct-{kind}/NAME),"
    " or from [build] baselayout_atoms (sys-apps/baselayout)"
)


def hint(output: str) -> str:
    """A sentence on the account for lack of which a command seems to have failed; empty if for none."""
    found = UNKNOWN.search(output)
    if found is None:
        return ""
    kind = found["kind"] or found["kind_of_fowners"] or found["kind_of_python"]
    name = found["name"] or found["name_of_fowners"] or found["name_of_python"]
    return HINT.format(kind={"pw": "user", "gr": "group"}.get(kind, kind), name=name)
