"""Why a package or a file is in an image, from what its last build has recorded and the files of its profile.

build/NAME/packages/packages.lock, provenance.json, root-plan.json     the packages, and what they need to run
build/NAME/packages/ingredients.json                                   what each was built with
build/NAME/host/var/cache/edb/dep/, REPOSITORY/metadata/md5-cache/     conditions of dependencies
build/NAME/root/image/, strip/image/, strip.json                       files, their packages, what strip rules matched
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from quern.errors import BuildError, ConfigError, hint
from quern.portage import lockfile, places, provenance, requirers, root_plan, use_conditions
from quern.portage.plan import package_name
from quern.portage.profile import parent_lines
from quern.portage.requirers import Chain, Request, Requirers
from quern.project import Image
from quern.questions.base import read_tree
from quern.steps import receipt as receipts
from quern.steps.base import Run, key_of
from quern.steps.chain import setup_of, steps_of
from quern.steps.packages import INGREDIENTS, LOCK, PROVENANCE, ROOT_PLAN, PackagesStep
from quern.steps.present import has_parts
from quern.strip_rules import option_of

if TYPE_CHECKING:
    from quern.portage.lockfile import Locked

UNBUILT = "{image}: there is no finished build to look at; `doit image:{image}` makes one"
ANEW = "{image} is being built anew; ask again when that is over"
METADATA = "host/var/cache/edb/dep"
FIRST = "build.baselayout_atoms"


class Condition(NamedTuple):
    """`package` needs `other` because of a USE flag, and the line (FILE:LINE) that switches it; empty: the ebuild."""

    package: str
    other: str
    flag: str
    place: str


class Reason(NamedTuple):
    """A line that a package is in the image for, the packages from that to it, and the USE flags on the way.

    `inherited` are the lines of `parent` files by which the line's profile is one of the image's. `leaving` are the
    packages that would not be in the image without this one line.
    """

    place: str
    atom: str
    inherited: list[str]
    packages: list[str]
    conditions: list[Condition]
    leaving: list[str]


class Because(NamedTuple):
    """Why a package (cpv) is in the image, if it is `installed` there.

    `leaving` would leave without all the lines of `reasons`. Of a package that is not installed, `built_with` are the
    packages that were built with it.
    """

    package: str
    installed: bool
    reasons: list[Reason]
    leaving: list[str]
    built_with: list[str]


class Rule(NamedTuple):
    """A strip rule, its option, and where that is set; empty where it is not in the configuration any more."""

    rule: str
    option: str
    place: str


class Found(NamedTuple):
    """A path of the image (see worker/whose.py for the fields), and the rules that took it out."""

    path: str
    kind: str
    in_image: bool
    package: str
    packages: list[str]
    target: list[str]
    rules: list[Rule]


class Records:
    """The last build of `image`. Raises BuildError if there is none."""

    def __init__(self, image: Image) -> None:
        step = PackagesStep(image.work, False, setup_of(image))
        receipt = receipts.read(step.place.receipt)
        if receipt is None or not has_parts(step, receipt):
            raise BuildError(UNBUILT.format(image=image.name))
        self.image, self._setup, self._output = image, step.setup, step.place.output

    @cached_property
    def is_current(self) -> bool:
        """Whether the profile is as it was in that build."""
        step = steps_of(self.image)[0]
        receipt = receipts.read(step.place.receipt)
        return receipt is not None and receipt.key == key_of(step.inputs(), step)

    @cached_property
    def installed(self) -> list[str]:
        """The packages (cpvs) that the image consists of."""
        return [cpv for cpv, _ in root_plan.read(self._output / ROOT_PLAN).packages]

    @cached_property
    def _lock(self) -> dict[str, Locked]:
        lock = self._output / LOCK
        packages = lockfile.parse(lock.read_text(encoding="utf-8", errors="replace"), str(lock))
        return {package.cpv: package for package in packages}

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return self._setup.stack().folders

    @cached_property
    def requirers(self) -> Requirers:
        """What needs what, and which lines ask for it. Raises QuernError."""
        known = provenance.read(self._output / PROVENANCE)
        packages = [self._lock[cpv] for cpv in self.installed if cpv in self._lock]
        asked = requirers.asked(list(self._requests()), packages)
        needs = {cpv: [each for each in known[cpv].needs if each in self.installed] for cpv in self.installed}
        return Requirers(needs, {cpv: found for cpv, found in asked.items() if known[cpv].wanted is not False})

    def _requests(self) -> Iterator[Request]:
        stack, build = self._setup.stack(), self.image.settings.build
        yield from requirers.requests(stack.folders, {*stack.packages, *(stack.system if build.include_system else ())})
        place = dict(self.image.settings.origins).get(FIRST, "")
        yield from (Request(place, atom) for atom in build.baselayout_atoms)

    def find(self, name: str) -> list[str]:
        """The packages (cpvs) that `name` stands for: package, category/package, or that with its version.

        Raises BuildError with the nearest name.
        """
        found = [cpv for cpv in self._lock if name in (cpv, package_name(cpv), package_name(cpv).split("/")[1])]
        if not found:
            choices = sorted({package_name(cpv) for cpv in self._lock})
            near = hint(name, choices) if "/" in name else hint(name, [each.split("/")[1] for each in choices])
            raise BuildError(f"--package={name}: {self.image.name} has no such package{near}")
        return found

    def because(self, cpv: str) -> Because:
        """Why the package is in the image. Raises QuernError."""
        if cpv not in self.installed:
            return Because(cpv, False, [], [], self._built_with(cpv))
        chains = self.requirers.chains(cpv)
        reasons = [self._reason(chain) for chain in chains]
        return Because(cpv, True, reasons, self._leaving([reason.place for reason in reasons]), [])

    def _reason(self, chain: Chain) -> Reason:
        place, atom, folder = chain.request
        inherited = self._parents.get(folder, []) if folder else []
        return Reason(place, atom, inherited, chain.packages, self._conditions(chain.packages), self._leaving([place]))

    @cached_property
    def _parents(self) -> dict[Path, list[str]]:
        return parent_lines(self._folders[-1], self._setup.repositories())

    def _leaving(self, lines: Iterable[str]) -> list[str]:
        return self.requirers.leaving(set(lines))

    def _built_with(self, cpv: str) -> list[str]:
        from quern.portage.keys import read_ingredients

        made_of = read_ingredients(self._output / INGREDIENTS)
        return sorted(name for name, inside in made_of.closures.items() if cpv in inside) if made_of else []

    def _conditions(self, packages: list[str]) -> list[Condition]:
        found = []
        for cpv, other in pairwise(packages):
            enabled = {flag for flag in self._lock[cpv].use if not flag.startswith("-")}
            dependencies = use_conditions.run_time(self._metadata(cpv))
            for flag in use_conditions.flags(dependencies, package_name(other), enabled):
                place = places.of_flag(package_name(cpv), flag.lstrip("-"), self._folders)
                found.append(Condition(cpv, other, flag, place))
        return found

    def _metadata(self, cpv: str) -> Iterator[Path]:
        """Where the metadata of its ebuild may be, as Portage or the repository itself has cached it."""
        name = self._lock[cpv].repository
        for repository in (each for each in self._setup.repositories() if name in each.names):
            yield repository.location / "metadata/md5-cache" / cpv
            for location in (repository.location, Path("/run/quern/repositories", repository.name)):
                yield self.image.work / METADATA / location.relative_to("/") / cpv


def find_path(image: Image, run: Run, path: str) -> Found:
    """What is known of a path of the image. Raises ConfigError, and BuildError with the likeliest path."""
    from quern.config.values import Context, Unfit, image_path
    from quern.worker.whose import whose

    try:
        wanted = image_path(path, Context(image.base, None))
    except Unfit as error:
        raise ConfigError(f"--path={path}: expected {error.expected}") from None
    made = receipts.of_one_build(image.work, ("packages", "root", "strip"))
    if made is None:
        raise BuildError(UNBUILT.format(image=image.name))
    rules = list(made["strip"].inputs["rules"])
    root, stripped = (str(receipts.Place(image.work, name).output / "image") for name in ("root", "strip"))
    try:
        answer = read_tree(run, whose, root=root, stripped=stripped, path=wanted, rules=rules)
    except FileNotFoundError:
        raise BuildError(ANEW.format(image=image.name)) from None
    near = answer.pop("near")
    if not answer["kind"] and not answer["package"]:
        raise BuildError(f"--path={path}: {image.name} has no such path{f'; did you mean {near}?' if near else ''}")
    return Found(**{**answer, "rules": [_rule(image, rule) for rule in answer["rules"]]})


def _rule(image: Image, rule: str) -> Rule:
    strip = image.settings.strip
    option = option_of(rule, strip)
    origins: Mapping[str, Any] = dict(image.settings.origins)
    place = origins.get(option, "") if rule in strip.paths or option != "strip.paths" else ""
    return Rule(rule, option, place)
