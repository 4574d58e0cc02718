"""Mutations of ebuilds and of packages: edited, added, deleted, renamed, shadowed."""

from __future__ import annotations

import re
from pathlib import Path

from tests.soundness.recipes import Recipe
from tests.soundness.world import Mutation, World

DEPENDENCIES = ("DEPEND", "RDEPEND", "BDEPEND", "PDEPEND")
VALUES = {
    "LICENSE": ("MIT", "GPL-2", "Proprietary", "|| ( MIT Proprietary )"),
    "SLOT": ("0", "0/9", "7", "1", "2/2"),
    "KEYWORDS": ("amd64", "~amd64", "", "-*", "arm", "amd64 arm", "**"),
    "IUSE": ("", "ssl", "+nls zlib", "threads", "+static test", "script_targets_three", "gtk"),
    "REQUIRED_USE": ("", "threads? ( nls )", "!ssl", "|| ( nls zlib )", "^^ ( threads ssl )"),
    "RESTRICT": ("", "fetch", "test", "bindist mirror", "strip? ( test )"),
    "PROPERTIES": ("", "live", "interactive", "virtual"),
    "SRC_URI": ("", "https://example.org/other.tar.xz", "ssl? ( https://example.org/a.patch )"),
    "DESCRIPTION": ("Another text", "x"),
}


def _replaced(text: str, variable: str, value: str) -> str | None:
    """The text of an ebuild with another value in the variable's line; None where it has no such line."""
    changed, count = re.subn(rf'^{variable}=".*"$', f'{variable}="{value}"', text, flags=re.M)
    return changed if count else None


def _value(text: str, variable: str) -> str:
    found = re.search(rf'^{variable}="(.*)"$', text, re.M)
    return found[1] if found else ""


def _assign(variable: str) -> Mutation:
    """The mutation that gives a variable another value."""

    def mutate(world: World) -> str | None:
        ebuild = world.ebuild()
        text = ebuild.read_text()
        value = world.random.choice([value for value in VALUES[variable] if value != _value(text, variable)])
        changed = _replaced(text, variable, value)
        if changed is None:
            return None
        world.edit(ebuild, changed)
        return f'{world.relative(ebuild)}: {variable}="{value}"'

    return mutate


def dependency(world: World) -> str | None:
    """A dependency added, taken away, or exchanged."""
    ebuild = world.ebuild()
    text, variable = ebuild.read_text(), world.random.choice(DEPENDENCIES)
    before, atom = _value(text, variable), world.atom()
    value = world.random.choice([
        f"{before} {atom}", f"{before} || ( {world.atom()} {atom} )", f"{before} ssl? ( {atom} )", atom, "",
        f"{before} !{atom}".replace(":=", ""), f"{before} !ssl? ( {atom} ) ssl? ( {world.atom()} )",
    ]).strip()  # fmt: skip
    changed = _replaced(text, variable, value)
    if changed is None or value == before:
        return None
    world.edit(ebuild, changed)
    return f'{world.relative(ebuild)}: {variable}="{value}"'


def comment(world: World) -> str:
    """A comment, which no plan depends on but a package's key does."""
    ebuild = world.ebuild()
    world.edit(ebuild, f"{ebuild.read_text()}# {world.random.random()}\n")
    return f"{world.relative(ebuild)}: a comment"


def eapi(world: World) -> str | None:
    """Another EAPI, one that there is not, or none."""
    ebuild = world.ebuild()
    line = world.random.choice(["EAPI=6", "EAPI=7", "EAPI=8", "EAPI=99", "# no EAPI", 'EAPI="8"'])
    changed = re.sub(r"^EAPI=.*", line, ebuild.read_text())
    if changed == ebuild.read_text():
        return None
    world.edit(ebuild, changed)
    return f"{world.relative(ebuild)}: {line}"


def inherit(world: World) -> str | None:
    """Other eclasses, one that is not there among them now and then."""
    ebuild = world.ebuild()
    names = world.random.choice(["", "common", "docs", "build multi", "unused", "absent", "fetch", "script docs"])
    line = f"inherit {names}" if names else "#"
    changed = re.sub(r"^inherit .*|^# inherits nothing", line, ebuild.read_text(), count=1, flags=re.M)
    if changed == ebuild.read_text():
        return None
    world.edit(ebuild, changed)
    return f"{world.relative(ebuild)}: inherit {names}"


def broken(world: World) -> str:
    """What bash cannot read, an empty file, or one that dies."""
    ebuild = world.ebuild()
    text = world.random.choice(["", 'EAPI=8\nSLOT="0\n', 'EAPI=8\ndie "no"\n', f"{ebuild.read_text()}\nif\n"])
    world.edit(ebuild, text)
    return f"{world.relative(ebuild)}: broken"


def _version(path: Path) -> str:
    return path.stem.removeprefix(f"{path.parent.name}-")


def add_version(world: World) -> str | None:
    """A newer or older version or a revision, like one that is there or with something else in it."""
    ebuild = world.ebuild()
    version = _version(ebuild)
    plain = re.sub(r"-r\d+$", "", version)
    new = world.random.choice(["99", "9999", "0.1", f"{plain}-r{world.random.choice((1, 7))}", f"{plain}.1", "3_p1"])
    target = ebuild.with_name(f"{ebuild.parent.name}-{new}.ebuild")
    if target.exists():
        return None
    text = ebuild.read_text()
    if world.random.random() < 0.6:
        text = _replaced(text, "KEYWORDS", world.random.choice(("amd64", "amd64", "~amd64"))) or text
    world.edits.write(target, text)
    return f"{world.relative(target)} added, like {version}"


def delete_version(world: World) -> str:
    """An ebuild is gone."""
    ebuild = world.ebuild()
    world.edits.remove(ebuild)
    return f"{world.relative(ebuild)} deleted"


def rename_version(world: World) -> str | None:
    """An ebuild has another version, or another name altogether."""
    ebuild = world.ebuild()
    name = ebuild.parent.name
    names = (f"{name}-98", f"{name}-0.2", f"{ebuild.stem}-r9", f"other-{_version(ebuild)}", ".hidden-1")
    new = world.random.choice(names)
    target = ebuild.with_name(f"{new}.ebuild")
    if target.exists():
        return None
    world.edits.rename(ebuild, target)
    return f"{world.relative(ebuild)} renamed to {target.name}"


def delete_package(world: World) -> str:
    """A package's folder is gone, from one repository."""
    folder = world.folder()
    world.edits.remove(folder)
    return f"{world.relative(folder)} deleted"


def rename_package(world: World) -> str | None:
    """A package's folder has another name, which no ebuild in it fits; or is in another category."""
    folder = world.folder()
    target = world.random.choice([folder.with_name(f"{folder.name}x"), folder.parents[1] / "app-misc" / folder.name])
    if target.exists() or not target.parent.is_dir():
        return None
    world.edits.rename(folder, target)
    return f"{world.relative(folder)} renamed to {world.relative(target)}"


def shadow(world: World) -> str | None:
    """A package in an overlay that another repository has: the same version, a higher or a lower one."""
    ebuild = world.ebuild()
    overlay = world.tree.repositories[world.random.choice(("extra", "solo"))]
    name = f"{ebuild.parent.parent.name}/{ebuild.parent.name}"
    version = world.random.choice((_version(ebuild), _version(ebuild), "77", "0.3"))
    target = overlay / name / f"{ebuild.parent.name}-{version}.ebuild"
    if target.exists():
        return None
    text = ebuild.read_text()
    if world.random.random() < 0.5:
        text = _replaced(text, "RDEPEND", "sys-libs/libc") or text
    world.edits.write(target, text)
    return f"{world.relative(target)} added"


def new_package(world: World) -> str | None:
    """A package with a new name, and with luck one that something asks for."""
    repository = world.repository()
    name = world.random.choice(("app-solo/absent", "dev-libs/none", "app-misc/brand-new", "virtual/new"))
    recipe = Recipe("8", (), {"SLOT": "0", "KEYWORDS": "amd64", "LICENSE": "MIT", "RDEPEND": world.atom()})
    target = repository / name / f"{name.split('/')[1]}-1.ebuild"
    world.edits.write(target, recipe.text())
    return f"{world.relative(target)} added"


def oddity(world: World) -> str:
    """Something in a package's folder that is no ebuild of it, or only looks like one."""
    folder = world.folder()
    name = world.random.choice((f"{folder.name}-5.ebuild", f"{folder.name}-5.ebuild~", "README", "zzz-1.ebuild", "CVS"))
    target = folder / name
    if world.random.random() < 0.3 and not name.endswith("-5.ebuild"):  # Portage waits for ever for such a folder
        world.edits.write(target / "inside", "a folder\n")
    elif world.random.random() < 0.3:
        world.edits.link(target, "nowhere")
    else:
        world.edits.write(target, "not an ebuild\n")
    return f"{world.relative(target)} added, of no use"


def file_of_package(world: World) -> str:
    """Something in files/ added, edited, deleted, or given another mode."""
    folder = world.folder() / "files"
    there = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    action = world.random.choice(("add", "deep", "edit", "delete", "mode", "folder"))
    if action in ("add", "deep") or not there:
        path = folder / (world.random.choice(("new.patch", ".hidden")) if action == "add" else "very/deep/a.patch")
        world.edits.write(path, "new\n")
    else:
        path = world.random.choice(there)
        if action == "edit":
            world.edit(path, f"{path.read_text()}edited\n")
        elif action == "delete":
            world.edits.remove(path)
        elif action == "folder":
            path = folder
            world.edits.remove(folder)
        else:
            world.edits.mode(path, 0o755)
    return f"{world.relative(path)}: {action}"


def manifest(world: World) -> str:
    """A Manifest: other digests, other lines, or none at all."""
    path = world.folder() / "Manifest"
    text = path.read_text() if path.exists() else ""
    action = world.random.choice(("digest", "other file", "reordered", "gone"))
    if action == "digest" and text:
        world.edit(path, text.replace("BLAKE2B 1", "BLAKE2B 3"))
    elif action == "reordered" and text:
        world.edit(path, "".join(reversed(text.splitlines(keepends=True))))
    elif action == "gone" and text:
        world.edits.remove(path)
    else:
        world.edits.write(path, f"{text}DIST unrelated-1.tar.xz 1 BLAKE2B 1 SHA512 1\n")
    return f"{world.relative(path)}: {action}"


KINDS: dict[str, tuple[float, Mutation]] = {
    "ebuild: dependency": (6, dependency),
    "ebuild: comment": (2, comment),
    "ebuild: EAPI": (2, eapi),
    "ebuild: inherit": (3, inherit),
    "ebuild: broken": (1, broken),
    **{f"ebuild: {variable}": (1.5, _assign(variable)) for variable in VALUES},
    "package: version added": (6, add_version),
    "package: version deleted": (4, delete_version),
    "package: version renamed": (2, rename_version),
    "package: deleted": (2, delete_package),
    "package: renamed": (2, rename_package),
    "package: new": (2, new_package),
    "package: odd file": (2, oddity),
    "package: files/": (4, file_of_package),
    "package: Manifest": (3, manifest),
    "overlay: package shadows": (6, shadow),
}
