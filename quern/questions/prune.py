"""prune: what the folders of a project hold, and what of it no image needs; with --yes that is removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quern.project import Image
from quern.questions.base import Chore, Switch


def answer(images: Sequence[Image], say: Callable[[str], None], *, yes: bool) -> None:
    """Show it; with `yes` remove what no image needs. Raises QuernError."""
    from quern.questions.pruning import prune

    prune(images, say, yes)


PRUNE = Chore(
    name="prune",
    doc="show what is on disk, and with --yes remove what is not needed any more, for",
    options=(Switch("yes", "remove what no image needs, instead of only showing it"),),
    answer=answer,
)
