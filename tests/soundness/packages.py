"""The packages of the generated tree: what depends on what, by chance but so that there is a solution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.soundness.recipes import ECLASSES, Recipe

CATEGORIES = (
    "app-arch", "app-misc", "dev-lang", "dev-libs", "dev-util", "net-libs", "net-misc", "sys-apps", "sys-libs",
    "virtual",
)  # fmt: skip
FLAGS = ("ssl", "zlib", "nls", "ipv6", "static", "threads", "test", "gtk")  # threads is on by default, gtk masked
DEFAULT = "threads"
# what eclasses of the tree depend on, and what everything may: in this order, each upon those before it
FOUNDATION = ("sys-libs/libc", "sys-libs/headers", "dev-util/make-tool", "dev-util/doc-tool", "dev-lang/script")
SYLLABLES = ("ba", "co", "di", "fu", "ge", "ki", "lo", "mu", "ne", "pa", "ri", "so", "tu", "ve", "xy", "zi")
VERSIONS = ("0.9", "1.0", "1.2", "1.2-r1", "1.10", "2.0_rc1", "2.0", "2.1.3-r2", "3")


@dataclass
class Version:
    """One version of a package."""

    text: str
    slot: str
    stable: bool
    flags: tuple[str, ...]
    depends: dict[str, list[str]] = field(default_factory=dict)

    def recipe(self, name: str, eapi: str, inherits: tuple[str, ...], sources: bool) -> Recipe:
        """Its ebuild."""
        short = name.split("/")[1]
        required = "zlib? ( ssl )" if {"zlib", "ssl"} <= set(self.flags) else ""
        variables = {
            "DESCRIPTION": f"Version {self.text} of {short}",
            "SRC_URI": f"https://example.org/{short}-{self.text}.tar.xz" if sources else "",
            "LICENSE": "MIT",
            "SLOT": self.slot,
            "KEYWORDS": "amd64 ~arm" if self.stable else "~amd64",
            "IUSE": " ".join(f"+{flag}" if flag == DEFAULT else flag for flag in self.flags),
            "REQUIRED_USE": required,
            "RESTRICT": "test? ( test )" if "test" in self.flags else "",
            **{kind: " ".join(dependencies) for kind, dependencies in self.depends.items()},
        }
        return Recipe(eapi, inherits, variables)


@dataclass
class Package:
    """A package: its versions, oldest first."""

    name: str
    versions: list[Version]
    eapi: str = "8"
    inherits: tuple[str, ...] = ()
    sources: bool = False

    @property
    def stable(self) -> Version:
        """The newest stable version."""
        return next(version for version in reversed(self.versions) if version.stable)

    def recipes(self) -> dict[str, Recipe]:
        """Its ebuilds, by version."""
        return {each.text: each.recipe(self.name, self.eapi, self.inherits, self.sources) for each in self.versions}


def make_packages(random: Random, count: int) -> dict[str, Package]:
    """So many packages by name, each depending on earlier ones, and virtuals with two providers each."""
    packages = {name: _package(random, name, ()) for name in FOUNDATION}
    while len(packages) < count:
        name = f"{random.choice(CATEGORIES[:-1])}/{''.join(random.choices(SYLLABLES, k=3))}"
        if name not in packages:
            packages[name] = _package(random, name, list(packages.values()))
        if len(packages) % 25 == 0:
            packages |= _virtual(random, f"v{len(packages)}")
    certificates = Package("app-misc/certs", [Version("1", "0", True, (), {"RDEPEND": ["sys-libs/libc"]})])
    packages["sys-libs/libc"].stable.depends["PDEPEND"] = [certificates.name]
    return packages | {certificates.name: certificates}


def _package(random: Random, name: str, earlier: Sequence[Package]) -> Package:
    chosen = sorted(random.sample(range(len(VERSIONS)), random.choice((1, 2, 2, 3, 4))))
    slotted = random.random() < 0.2
    flags = tuple(sorted(random.sample(FLAGS, random.choice((0, 1, 2, 3)))))
    unstable = random.random() < 0.35 and len(chosen) > 1
    versions = []
    for index in chosen:
        major = VERSIONS[index].split(".")[0]
        slot = major if slotted else random.choice(("0", f"0/{major}"))
        versions.append(Version(VERSIONS[index], slot, not (unstable and index == chosen[-1]), flags))
    package = Package(name, versions, random.choice("888876"), sources=random.random() < 0.5)
    if earlier:
        package.inherits = _inherits(random)
        _depend(random, package, earlier)
    return package


def _inherits(random: Random) -> tuple[str, ...]:
    names = [name for name in ECLASSES if name != "unused"]
    return tuple(random.sample(names, random.choice((0, 0, 0, 1, 1, 2))))


def _depend(random: Random, package: Package, earlier: Sequence[Package]) -> None:
    """Give its versions dependencies, mostly the same ones."""
    others = [other for other in earlier if not other.name.startswith("sys-apps/provider")]
    common = [_dependency(random, package, others) for _ in range(random.choice((0, 1, 1, 2, 2, 3)))]
    for version in package.versions:
        own = common + ([_dependency(random, package, others)] if random.random() < 0.2 else [])
        for kind, dependency in own:
            if kind == "BDEPEND" and package.eapi == "6":
                kind = "DEPEND"
            version.depends.setdefault(kind, []).append(dependency)


def _dependency(random: Random, package: Package, others: Sequence[Package]) -> tuple[str, str]:
    kind = random.choices(("RDEPEND", "DEPEND", "BDEPEND", "PDEPEND"), (5, 4, 1, 0.3))[0]
    first = atom(random, _one(random, others), kind)
    shape = random.random()
    if shape < 0.15:
        first = f"|| ( {first.replace(':=', '')} {_one(random, others).name} )"
    elif shape < 0.35 and package.versions[0].flags:
        first = f"{random.choice(package.versions[0].flags)}? ( {first} )"
    elif shape < 0.42:
        first += f" !<{_one(random, others).name}-0.1"
    return kind, first


def _one(random: Random, others: Sequence[Package]) -> Package:
    """One of them; half the time one of the first, which much depends on."""
    return random.choice(others[:20] if random.random() < 0.5 else others[-80:])


def atom(random: Random, target: Package, kind: str) -> str:
    """A dependency that the newest stable version of `target` satisfies."""
    version, form = target.stable, random.random()
    name, plain = target.name, target.stable.text.split("-")[0]
    slot = version.slot.split("/")[0]
    if form < 0.1:
        return f">={name}-{target.versions[0].text}"
    if form < 0.15:
        return f"~{name}-{plain}"
    if form < 0.2:
        return f"={name}-{plain}*"
    if form < 0.3:
        return f"{name}:{slot}"
    if form < 0.5 and kind in ("DEPEND", "RDEPEND"):
        return f"{name}:=" if form < 0.4 else f"{name}:{slot}="
    if form < 0.6 and DEFAULT in version.flags:
        return f"{name}[{DEFAULT}]"
    return name


def _virtual(random: Random, name: str) -> Mapping[str, Package]:
    """A virtual with two providers that exclude each other."""
    names = [f"sys-apps/provider-{name}-{which}" for which in ("one", "two")]
    made = {f"virtual/{name}": Package(f"virtual/{name}", [Version("0", "0", True, ())])}
    made[f"virtual/{name}"].versions[0].depends["RDEPEND"] = [f"|| ( {' '.join(names)} )"]
    for own, other in (names, reversed(names)):
        versions = [Version(text, "0", True, (DEFAULT,), {"RDEPEND": [f"!{other}"]}) for text in ("1", "1.5")]
        made[own] = Package(own, versions)
    return made
