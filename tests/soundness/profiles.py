"""Mutations of profiles: of the stack's folders and of others, of the project's own, and of profiles/ itself."""

from __future__ import annotations

from pathlib import Path

from tests.soundness.world import Mutation, World

STACK = ("base", "arch/amd64", "default", "features/small")
OTHER = ("other", "brand-new")
FLAG = ("ssl", "zlib", "nls", "static", "threads", "test", "gtk", "doc", "multi", "debug")
FLAG_FILES = ("use.mask", "use.force", "use.stable.mask", "use.stable.force")
PACKAGE_FLAG_FILES = (
    "package.use", "package.use.mask", "package.use.force", "package.use.stable", "package.use.stable.mask",
    "package.use.stable.force",
)  # fmt: skip
ATOM_FILES = ("package.mask", "package.unmask")
WORD_FILES = {
    "package.accept_keywords": ("~amd64", "**", "-amd64"),
    "package.keywords": ("~amd64", "**"),
    "package.license": ("Proprietary", "-MIT"),
    "package.properties": ("live", "-interactive"),
    "package.env": ("fast.conf",),
    "package.bashrc": ("fast",),
}
DEFAULTS = (
    'USE="nls"', 'USE="-ssl zlib"', 'CFLAGS="-O3"', 'ACCEPT_KEYWORDS="~amd64"', 'ACCEPT_LICENSE="*"', 'ARCH="arm"',
    'SCRIPT_TARGETS="four"', 'FEATURES="test"', 'USE="${USE} static"', 'LDFLAGS="-s"', 'ACCEPT_RESTRICT="-fetch"',
    'broken="', "source ../more", 'INSTALL_MASK="/usr/share"', 'PROFILE_ONLY_VARIABLES="ARCH"', "# a comment",
)  # fmt: skip
OTHER_FILES = {
    "profile.bashrc": ("CFLAGS+=' -g'\n", "true\n"),
    "deprecated": ("gen:other\n",),
    "packages": ("*sys-libs/libc\n", "dev-lang/script\n", "-dev-util/make-tool\n", "-*\n", "nonsense!\n"),
    "packages.build": ("sys-libs/libc\n",),
    "package.provided": ("dev-lang/script-99\n", "sys-libs/libc-1.0\n"),
    "virtuals": ("virtual/none sys-libs/libc\n",),
    "soname.provided": ("x86_64: libz.so.1\n",),
    "use": ("ssl\n",),
    "README": ("text\n",),
    "eapi": ("5\n", "7\n", "8\n", "42\n", ""),
    "env/dev-lang/script": ("CFLAGS=-Os\n",),
}


def _line(world: World, name: str) -> str:
    """A line for a file of that name."""
    random = world.random
    sign = random.choice(("", "", "-"))
    if name in FLAG_FILES:
        return f"{sign}{random.choice(FLAG)}"
    if name in PACKAGE_FLAG_FILES:
        return f"{world.name()} {sign}{random.choice(FLAG)}"
    if name in WORD_FILES:
        return f"{world.name()} {random.choice(WORD_FILES[name])}"
    atom = random.choice((world.name(), f">={world.name()}-1.2", f"{world.name()}::extra"))
    return f"{'-' if random.random() < 0.1 else ''}{atom}"


def _add_line(world: World, path: Path, line: str) -> str:
    """Add a line to a profile's file; to a file in it where it is a folder, or is made one."""
    if path.is_dir():
        path = path / world.random.choice(("one", "two", "deep/three", ".hidden", "backup~"))
    elif not path.exists() and world.random.random() < 0.3:
        path = path / "new"
    before = path.read_text() if path.is_file() else ""
    if path.is_file():
        world.edit(path, f"{before}{line}\n")
    else:
        world.edits.write(path, f"{line}\n")
    return f"{world.relative(path)}: {line}"


def _folder(world: World) -> Path:
    """A profile of the main repository or an overlay, mostly one of the stack."""
    if world.random.random() < 0.15:
        return world.tree.repositories["extra"] / "profiles/tuned"
    return world.main / "profiles" / world.random.choice([*STACK, *STACK, *OTHER])


def _line_in(names: tuple[str, ...]) -> Mutation:
    def mutate(world: World) -> str:
        name = world.random.choice(names)
        return _add_line(world, _folder(world) / name, _line(world, name))

    return mutate


def defaults(world: World) -> str:
    """A line of make.defaults."""
    return _add_line(world, _folder(world) / "make.defaults", world.random.choice(DEFAULTS))


def other_file(world: World) -> str | None:
    """Any other file that a profile may have."""
    name = world.random.choice(list(OTHER_FILES))
    path, text = _folder(world) / name, world.random.choice(OTHER_FILES[name])
    if path.is_file() and path.read_text() == text:
        return None
    world.edits.write(path, text)
    return f"{world.relative(path)}: {text.strip()!r}"


def parent(world: World) -> str:
    """One more parent, one that is not there now and then, or none of those there were."""
    folder, random = _folder(world), world.random
    path, up = folder / "parent", "../" * len(folder.relative_to(folder.parents[1]).parts[1:])
    line = random.choice((f"{up}other", f"{up}brand-new", "gen:features/small", "extra:tuned", "nowhere:at-all", ""))
    if random.random() < 0.5:
        world.edits.write(world.main / "profiles/brand-new/package.use", "sys-libs/libc nls\n")
        world.edits.write(world.main / "profiles/brand-new/eapi", "8\n")
    before = path.read_text() if path.exists() else ""
    world.edits.write(path, random.choice((f"{before}{line}\n", f"{line}\n{before}", f"{line}\n")))
    return f"{world.relative(path)}: {line!r}"


def deleted(world: World) -> str:
    """A file of a profile is gone, or is a folder with the same in it."""
    there = sorted(path for path in (world.main / "profiles").rglob("*") if path.is_file())
    path = world.random.choice(there)
    if world.random.random() < 0.3 and path.name not in ("eapi", "parent", "one"):
        text = path.read_text()
        world.edits.remove(path)
        world.edits.write(path / "same", text)
        return f"{world.relative(path)} made a folder"
    world.edits.remove(path)
    return f"{world.relative(path)} deleted"


def own(world: World) -> str:
    """The project's own profile, or its folder of profiles."""
    image, random = world.tree.profile, world.random
    name = random.choice(("package.use", "package.mask", "packages", "package.accept_keywords", "use.force", "parent"))
    if random.random() < 0.25:
        return _add_line(world, image.parent / "package.mask", _line(world, "package.mask"))
    if name == "parent":
        return _add_line(world, image / name, random.choice(("gen:features/small", "gen:other", "# a comment")))
    if name == "packages":
        return _add_line(world, image / name, random.choice((world.name(), world.atom(), "# a comment")))
    return _add_line(world, image / name, _line(world, name))


def top(world: World) -> str:
    """A file of a repository's profiles/ itself: masks and flags for all of its packages, and what it knows."""
    profiles, random = world.repository() / "profiles", world.random
    name = random.choice((*ATOM_FILES, *ATOM_FILES, *PACKAGE_FLAG_FILES, *FLAG_FILES, "package.accept_keywords"))
    return _add_line(world, profiles / name, _line(world, name))


def top_other(world: World) -> str | None:
    """What else is in profiles/: categories, architectures, licences, moves, mirrors, descriptions, the name."""
    path = world.repository() / "profiles"
    files = {
        "categories": ("app-brandnew\n", "app-solo\n", "dev-libs\n"),
        "arch.list": ("amd64\n", "riscv\n"),
        "license_groups": ("FREE Proprietary\n", "OTHER MIT\n", "FREE @OTHER\n"),
        "updates/1Q-2024": ("slotmove sys-libs/libc 0 5\n",),
        "updates/2Q-2025": ("move dev-lang/script dev-lang/scripts\n", "slotmove sys-libs/libc 0 5\n"),
        "thirdpartymirrors": ("main https://example.com/\n",),
        "use.desc": ("nls - Languages\n",),
        "use.local.desc": ("dev-lang/script:nls - Languages\n",),
        "profiles.desc": ("amd64 default stable\n",),
        "desc/script_targets.desc": ("four - Four\n",),
        "info_pkgs": ("sys-libs/libc\n",),
        "eapi": ("5\n", "7\n", "42\n"),
        "repo_name": ("other\n", "", "gen\n"),
    }
    name = world.random.choice(list(files))
    text = world.random.choice(files[name])
    before = (path / name).read_text() if (path / name).exists() else ""
    text = text if name in ("eapi", "repo_name") or world.random.random() < 0.3 else before + text
    if text == before:
        return None
    world.edits.write(path / name, text)
    return f"{world.relative(path / name)}: {text.splitlines()[-1:]}"


def new_category(world: World) -> str:
    """A category that an overlay lists, with a package that something may ask for."""
    overlay = world.tree.repositories[world.random.choice(("extra", "solo"))]
    categories = overlay / "profiles/categories"
    ebuild = world.ebuild()
    category = ebuild.parents[1].name
    if world.random.random() < 0.8:
        world.edits.write(categories, f"{categories.read_text()}{category}\n")
    target = overlay / category / ebuild.parent.name / f"{ebuild.parent.name}-66.ebuild"
    world.edits.write(target, ebuild.read_text())
    return f"{world.relative(target)} added, and its category"


KINDS: dict[str, tuple[float, Mutation]] = {
    "profile: flags": (3, _line_in(FLAG_FILES)),
    "profile: flags of packages": (6, _line_in(PACKAGE_FLAG_FILES)),
    "profile: masks": (5, _line_in(ATOM_FILES)),
    "profile: keywords and such": (4, _line_in(tuple(WORD_FILES))),
    "profile: make.defaults": (4, defaults),
    "profile: other files": (5, other_file),
    "profile: parent": (4, parent),
    "profile: deleted": (3, deleted),
    "profile: the project's": (5, own),
    "profiles/: masks and flags": (5, top),
    "profiles/: other files": (5, top_other),
    "overlay: new category": (3, new_category),
}
