"""Whether what finished steps have left is still there and whole, as far as that can be told at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from quern.errors import BuildError
from quern.steps.published import is_published

if TYPE_CHECKING:
    from quern.steps.base import Step
    from quern.steps.receipt import Receipt

SIZES = "sizes"  # in a receipt's info: of the files that are looked at here, in bytes


def check_needs(step: Step) -> None:
    """Raise BuildError if what an earlier step has made for this one is gone; the work folder's lock is held.

    doit has brought it up to date, but a `doit clean` may have had the lock since.
    """
    for path in step.files():
        if path.parent == step.work and not path.is_file():
            raise BuildError(f"{step.name}: {path} was removed meanwhile, as `doit clean` does; run it again")


def is_there(step: Step, receipt: Receipt) -> bool:
    """Whether the output of a finished step is where it was put, in the work folder and outside."""
    place = step.place
    return (
        has_parts(step, receipt)
        and place.digest_text() == receipt.digest
        and all(is_published(place.output / name, path) for path, name in step.published(receipt.info).items())
    )


def has_parts(step: Step, receipt: Receipt) -> bool:
    """Whether the output of a finished step is in the work folder, its files with the sizes that they were made with.

    A file that was emptied or cut short is found so: no step that reads it would be run for that.
    """
    output, made = step.place.output, receipt.info.get(SIZES, {})  # receipts of former versions have none
    try:
        return output.is_dir() and all(
            made.get(part) in (None, (output / part).stat().st_size) for part in {*step.parts, *made}
        )
    except OSError:
        return False


def sizes(step: Step, info: Mapping[str, Any]) -> dict[str, int]:
    """The sizes in bytes of the files in staging that later steps read, or that are published."""
    staging = step.place.staging
    names = sorted({*step.parts, *step.published(info).values()})
    return {name: (staging / name).stat().st_size for name in names if (staging / name).is_file()}
