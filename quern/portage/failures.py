"""From what emerge printed to one message that says what to do.

emerge exits 1 for every failure, so the kind is read from its text. What it prints was captured from the real one for
every case (tests/data/failures), and tests run it again where Portage is installed.
"""

from __future__ import annotations

from collections.abc import Sequence

from quern.portage import failures_building, failures_ebuilds, failures_files, failures_resolving
from quern.portage.failure import Failure, Kind
from quern.portage.failures_building import Machine, room

__all__ = ["Failure", "Kind", "Machine", "each", "explain", "room"]


def each(
    output: str,
    available: Sequence[str] = (),
    starter_only: bool = False,
    undeclared: bool = False,
    *,
    machine: Machine,
) -> list[tuple[Failure, str]]:
    """Explain the failure of every package that emerge gave up on: (failure, the text it was found in).

    Of one package the text is `output`, in which emerge shows the package's log. Of several it is the log of each;
    emerge shows none then. Empty if nothing is known. The parameters are those of `explain`.
    """
    packages = failures_building.separated(output, machine.log)
    if len(packages) > 1:
        found = [(_of_one(text), text) for text in packages]
        return [(_completed(failure, text, machine), text) for failure, text in found]
    failure = explain(output, available, starter_only, machine, undeclared)
    return [(failure, output)] if failure else []


def explain(
    output: str,
    available: Sequence[str] = (),
    starter_only: bool = False,
    machine: Machine | None = None,
    undeclared: bool = False,
) -> Failure | None:
    """Explain why emerge (or the resolver) failed, or give None when `output` has no cause that is known.

    output          all that was printed, stdout and stderr as they came
    available       category/package of all packages there are, for the nearest one to an unknown name
    starter_only    is the starter the only repository? Then an unknown package needs another tree, and that is said
    machine         what else there is to look at where `output` has no reason
    undeclared      does this machine build, though no repository declares the tools that it uses of it (quern-tools)?
    """
    failure = (
        failures_resolving.explain(output, available, starter_only, undeclared)
        or failures_building.explain(failures_ebuilds.without(output))
        or failures_ebuilds.explain(output)
        or failures_building.faulty(output)
    )
    if not failure or not machine:
        return failure
    return _completed(failure, output, machine)


def _of_one(text: str) -> Failure:
    """Explain the failure of one package of several."""
    return failures_building.explain(text) or failures_building.faulty(text) or failures_building.unexplained(text)


def _completed(failure: Failure, text: str, machine: Machine) -> Failure:
    """Add what the disk and the package's log say besides `text`."""
    return failures_building.completed(failures_files.completed(failure, text, machine), machine)
