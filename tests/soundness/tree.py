"""A generated project: a main repository of a few hundred packages, two overlays, and an image of the project's own.

FOLDER/
  tree/gen      the main repository, with md5-cache entries for most of its ebuilds
  tree/extra    an overlay of higher priority: packages, a category and an eclass of its own, others of gen's name
  tree/solo     an overlay that builds upon nothing
  outside       what links in the trees lead to
  profiles/image    the image's profile; every third project has it in an overlay, tree/extra/profiles/image
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

from quern.project import Image
from tests.projects import image_of, overlay_image, write
from tests.soundness.packages import CATEGORIES, FOUNDATION, Package, make_packages
from tests.soundness.recipes import ECLASSES, Recipe, cache_entry, eclass_text

FORMATS = "profile-formats = portage-2 profile-set\n"
OVERRIDES = ("docs",)  # eclasses that extra has its own of
SOLO_ECLASSES = ("common", "flags")
ARCH = (
    'ARCH="amd64"\nACCEPT_KEYWORDS="amd64"\nCHOST="x86_64-pc-linux-gnu"\nELIBC="musl"\nKERNEL="linux"\nUSERLAND="GNU"\n'
)
BASE = (
    'ACCEPT_LICENSE="@FREE"\nUSE="ssl"\nCFLAGS="-O2"\nUSE_EXPAND="SCRIPT_TARGETS"\nSCRIPT_TARGETS="three"\n'
    'USE_EXPAND_IMPLICIT="ARCH ELIBC KERNEL USERLAND"\nUSE_EXPAND_UNPREFIXED="ARCH"\nUSE_EXPAND_VALUES_ARCH="amd64"\n'
)


class Tree(NamedTuple):
    """What was generated. `repositories` are folders by name, `names` all packages."""

    folder: Path
    repositories: Mapping[str, Path]
    names: tuple[str, ...]

    @property
    def profile(self) -> Path:
        """The image's own profile."""
        own = self.folder / "profiles/image"
        return own if own.is_dir() else self.repositories["extra"] / "profiles/image"

    def image(self, work: Path) -> Image:
        """The image, with that work folder."""
        own = self.folder / "profiles/image"
        return overlay_image(own, work) if own.is_dir() else image_of(self.folder / "image.conf", work)

    @property
    def outside(self) -> Path:
        """Where links lead to."""
        return self.folder / "outside"

    @property
    def work(self) -> Path:
        """The image's work folder."""
        return self.folder / "build/image"


def make_tree(folder: Path, seed: int, packages: int = 300) -> Tree:
    """Generate the project of `seed` in `folder`, which must not exist."""
    random = Random(f"tree {seed}")
    made = make_packages(random, packages)
    repositories = {name: folder / "tree" / name for name in ("gen", "extra", "solo")}
    write(repositories["gen"], _main_files())
    _add(random, repositories["gen"], list(made.values()), {name: eclass_text(name) for name in ECLASSES}, 0.75)
    _write_overlays(random, repositories, made)
    _write_links(folder, repositories)
    names = sorted({*made, "app-extra/gadget", "app-extra/widget", "app-solo/thing", "dev-libs/linked"})
    tree = Tree(folder, repositories, tuple(names))
    configuration, profile = _image(random, made, seed)
    if seed % 3:
        write(folder / "profiles", {"repo_name": "project\n", "image/quern.conf": configuration})
        write(folder / "profiles/image", profile)
    else:
        write(folder, {"image.conf": f"{configuration}[build]\nprofile = extra:image\ninclude_system = on\n"})
        write(repositories["extra"] / "profiles/image", {**profile, "eapi": "6\n"})
    return tree


def _add(random: Random, location: Path, packages: list[Package], eclasses: Mapping[str, str], cached: float) -> None:
    """Write ebuilds, Manifests and files, and the cache entries of a share of them."""
    for package in packages:
        category, name = package.name.split("/")
        has_cache = random.random() < cached
        manifest = []
        for version, recipe in package.recipes().items():
            manifest += _add_ebuild(location, package.name, version, recipe, eclasses if has_cache else None)
        if random.random() < 0.3:
            write(location / category / name, {"files/fix.patch": f"fix of {name}\n", "files/more/note": "more\n"})
        write(location / category / name, {"metadata.xml": "<pkgmetadata/>\n", "Manifest": "".join(manifest)})


def _add_ebuild(
    location: Path, name: str, version: str, recipe: Recipe, eclasses: Mapping[str, str] | None
) -> list[str]:
    short = name.split("/")[1]
    write(location / name, {f"{short}-{version}.ebuild": recipe.text()})
    if eclasses is not None:
        write(location / "metadata/md5-cache", {f"{name}-{version}": cache_entry(recipe, eclasses)})
    source = recipe.variables.get("SRC_URI", "").rpartition("/")[2]
    return [f"DIST {source} 1000 BLAKE2B {'1' * 8} SHA512 {'2' * 8}\n"] if source else []


def _main_files() -> dict[str, str]:
    stack = {
        "base/make.defaults": BASE,
        "base/package.use/one": "dev-util/make-tool nls\n",
        "base/package.use.force": "",
        "base/use.mask": "gtk\n",
        "base/use.force": "",
        "base/package.mask": "# masked\n>=sys-libs/libc-99\n",
        "arch/amd64/parent": "../../base\n",
        "arch/amd64/make.defaults": ARCH,
        "arch/amd64/use.stable.mask": "static\n",
        "default/parent": "../arch/amd64\n../features/small\n",
        "features/small/package.use": "dev-lang/script -nls\n",
        "other/parent": "../arch/amd64\n",
        "other/package.mask": "sys-libs/libc\n",
    }
    folders = ("base", "arch/amd64", "default", "features/small", "other")
    return {
        "metadata/layout.conf": f"masters =\nthin-manifests = true\ncache-formats = md5-dict\n{FORMATS}",
        "profiles/repo_name": "gen\n",
        "profiles/eapi": "8\n",
        "profiles/categories": "".join(f"{category}\n" for category in CATEGORIES),
        "profiles/arch.list": "amd64\narm\n",
        "profiles/package.mask": "# a security problem\n<sys-libs/libc-0.1\n",
        "profiles/license_groups": "FREE MIT GPL-2\n",
        "profiles/thirdpartymirrors": "main https://example.org/\n",
        "profiles/use.desc": "ssl - Encryption\n",
        "profiles/updates/1Q-2024": "slotmove dev-libs/none 0 1\n",
        **{f"profiles/{folder}/eapi": "8\n" for folder in folders},
        **{f"profiles/{name}": text for name, text in stack.items()},
        **{f"eclass/{name}.eclass": eclass_text(name) for name in ECLASSES},
    }


def _write_overlays(random: Random, repositories: Mapping[str, Path], made: Mapping[str, Package]) -> None:
    extra, solo = repositories["extra"], repositories["solo"]
    libc = {"RDEPEND": "sys-libs/libc", "KEYWORDS": "amd64", "SLOT": "0", "LICENSE": "MIT"}
    write(extra, {
        "metadata/layout.conf": f"masters = gen\nthin-manifests = true\ncache-formats = md5-dict\n{FORMATS}",
        "profiles/repo_name": "extra\n",
        "profiles/eapi": "8\n",
        "profiles/categories": "app-extra\n",
        "profiles/package.mask": "# not here\n>=app-extra/widget-9\n",
        "profiles/tuned/eapi": "6\n",
        "profiles/tuned/package.use.mask": "dev-util/make-tool test\n",
        "profiles/tuned/package.accept_keywords/one": "app-extra/widget ~amd64\n",
        **{f"eclass/{name}.eclass": eclass_text(name, "extra") for name in OVERRIDES},
    })  # fmt: skip
    eclasses = {name: eclass_text(name, "extra" if name in OVERRIDES else "") for name in ECLASSES}
    shadowing = random.sample([each for name, each in made.items() if name not in FOUNDATION], min(15, len(made) // 4))
    _add(random, extra, shadowing, eclasses, 0.5)
    gadget = Recipe("8", ("docs", "script"), {**libc, "IUSE": "doc"})
    for name, version, recipe in (
        ("app-extra/gadget", "1", gadget),
        ("app-extra/widget", "2", Recipe("7", ("build",), {**libc, "KEYWORDS": "~amd64"})),
    ):
        _add_ebuild(extra, name, version, recipe, eclasses)
    write(solo, {
        "metadata/layout.conf": f"masters =\nthin-manifests = true\n{FORMATS}",
        "profiles/repo_name": "solo\n",
        "profiles/categories": "app-solo\ndev-libs\n",
        **{f"eclass/{name}.eclass": eclass_text(name, "solo") for name in SOLO_ECLASSES},
    })  # fmt: skip
    thing = Recipe("8", ("flags",), {**libc, "RDEPEND": "dev-libs/linked:= || ( app-solo/absent sys-libs/libc )"})
    _add_ebuild(solo, "app-solo/thing", "1", thing, None)


def _write_links(folder: Path, repositories: Mapping[str, Path]) -> None:
    """Make some of it links: a package's folder, an eclass, a patch, one ebuild to another."""
    linked = Recipe("8", ("common",), {"SLOT": "0/3", "KEYWORDS": "amd64", "LICENSE": "MIT"})
    write(folder / "outside", {
        "linked/linked-1.ebuild": linked.text(),
        "fetch.eclass": eclass_text("fetch"),
        "shared.patch": "a patch that many share\n",
    })  # fmt: skip
    gen, solo = repositories["gen"], repositories["solo"]
    (solo / "dev-libs").mkdir()
    (solo / "dev-libs/linked").symlink_to("../../../outside/linked")
    (gen / "eclass/fetch.eclass").unlink()
    (gen / "eclass/fetch.eclass").symlink_to(folder / "outside/fetch.eclass")
    tool = gen / "dev-util/make-tool"
    (tool / "files").mkdir(exist_ok=True)
    (tool / "files/shared.patch").symlink_to("../../../../../outside/shared.patch")
    newest = sorted(tool.glob("*.ebuild"))[-1]
    (tool / "make-tool-7.ebuild").symlink_to(newest.name)


def _image(random: Random, made: Mapping[str, Package], seed: int) -> tuple[str, dict[str, str]]:
    """The image's configuration, and its profile of some fifteen packages."""
    virtuals = [name for name in made if name.startswith("virtual/")]
    ordinary = [name for name in made if not name.startswith(("virtual/", "sys-apps/provider"))]
    atoms = [*random.sample(ordinary, 8), *virtuals[:2], "*sys-libs/libc"]
    atoms += ["dev-util/make-tool", "app-extra/gadget", "app-extra/widget", "app-solo/thing"]
    overrides = "eclass-overrides = extra\n" if seed % 2 == 0 else ""
    configuration = (
        "[portage]\nrepositories = gen, extra, solo\n"
        f"[repository:gen]\nlocation = tree/gen\n{overrides}"
        "[repository:extra]\nlocation = tree/extra\npriority = 10\n[repository:solo]\nlocation = tree/solo\n"
    )
    profile = {
        "parent": "gen:default\nextra:tuned\n",
        "packages": "".join(f"{atom}\n" for atom in sorted(set(atoms))),
        "package.use": "sys-libs/libc static\n",
        "package.provided": "sys-libs/headers-9\n",
    }
    return configuration, profile
