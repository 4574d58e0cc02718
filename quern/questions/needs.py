"""What an image needs of what the images of a project share: for what its last build made, and for what one would now.

The two differ where its profile, the repositories or the machine have changed since; then it is resolved aside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from quern.portage.keys import read_ingredients
from quern.portage.package_index import read_index
from quern.portage.store import KEY_DIGITS
from quern.project import Image
from quern.questions.foresight import Foresight
from quern.steps import receipt as receipts
from quern.steps.base import key_of
from quern.steps.chain import steps_of
from quern.steps.packages import INGREDIENTS, PackagesStep, host_keys
from quern.steps.receipt import Place

if TYPE_CHECKING:
    from quern.portage.keys import Ingredients


class Needs(NamedTuple):
    """Binary packages as `category/name-version-KEY`, as the store calls them, and names of sources.

    `built` are (cpv, SHA-1) of those in the image's own view: its last build's, whatever their keys were made of then.
    """

    packages: set[str]
    sources: set[str]
    built: set[tuple[str, str]]


def needs(image: Image, scratch: Path, say: Callable[[str], None]) -> Needs:
    """What `image` needs; `scratch` is a new folder for it alone. Raises QuernError where that cannot be told."""
    output = Place(image.work, PackagesStep.name).output
    found = Needs(set(), set(), {(each["CPV"], each.get("SHA1", "")) for each in read_index(output / "view")})
    last = read_ingredients(output / INGREDIENTS)
    for ingredients in _each(image, scratch, last, say):
        every = [ingredients.keys(), *(host_keys(ingredients, image.work, system) for system in (False, True))]
        found.packages.update(f"{name.lstrip('/')}-{key[:KEY_DIGITS]}" for keys in every for name, key in keys.items())
        found.sources.update(name for recipe in ingredients.recipes.values() for name in recipe["distfiles"])
    return found


def _each(image: Image, scratch: Path, last: Ingredients | None, say: Callable[[str], None]) -> Iterator[Ingredients]:
    if last:
        yield last
    if last is None or not _is_current(image):
        say(f"Resolving {image.name}, to see what its next build needs")
        scratch.mkdir()
        yield Foresight(image, scratch).ingredients()


def _is_current(image: Image) -> bool:
    """Whether the last build resolved what would be resolved now."""
    for step in steps_of(image)[:2]:  # up to the packages
        receipt = receipts.read(step.place.receipt)
        if receipt is None or receipt.key != key_of(step.inputs(), step):
            return False
    return True
