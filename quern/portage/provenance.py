"""`provenance.json`: what a plan knows of its packages that neither the lock nor the installed database says.

Nothing is built from it: it is in no digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quern.errors import BuildError, display
from quern.fetching.uris import first_addresses

if TYPE_CHECKING:
    from quern.portage.plan import Plan


class Provenance(NamedTuple):
    """Of one package: the addresses of each of its distfiles, in SRC_URI's order, and the cpvs of what it needs to run.

    Of `mirror://NAME/` it is the first server that the repositories themselves know for that name. `wanted` says
    whether the image itself asks for it, in a set or an atom; None in records of earlier versions.
    """

    sources: Mapping[str, list[str]]
    needs: list[str]
    wanted: bool | None = None


def write(path: Path, plan: Plan) -> None:
    """Keep it for the packages of the image."""
    known = {package.cpv for package in plan.packages}
    rows = {
        package.cpv: Provenance(
            {name: first_addresses(uris, plan.mirrors) for name, uris in package.sources.items()},
            [cpv for cpv in package.run_deps if cpv in known],
            package.wanted,
        )._asdict()
        for package in plan.packages
    }
    path.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(path: Path) -> dict[str, Provenance]:
    """What `write` wrote, by cpv. Raises BuildError if it was damaged."""
    try:
        return {cpv: Provenance(**row) for cpv, row in json.loads(path.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError):
        raise BuildError(f"{display(path)} was damaged; remove {display(path.parent)}, and it is made anew") from None
