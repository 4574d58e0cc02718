"""Mutations of eclasses, of cached metadata, of layout.conf, and of links."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.soundness.recipes import ECLASSES, eclass_text
from tests.soundness.world import Mutation, World, eclasses


def eclass_edited(world: World) -> str:
    """Another eclass text: a comment, another dependency, another flag, another eclass inherited."""
    path, random = world.eclass(), world.random
    text = path.read_text()
    other = random.choice([name for name in ("common", "unused", "absent") if name != path.stem])
    addition = random.choice((
        f"# {random.random()}", f'RDEPEND="{world.atom()}"', f'BDEPEND="{world.atom()}"', 'IUSE="nls"', "die",
        f"inherit {other}", f"inherit {other}", 'PROPERTIES="live"', 'DEPEND="dev-lang/script"',
    ))  # fmt: skip
    world.edit(path, f"{addition}\n{text}" if random.random() < 0.5 else text.replace("\nfi\n", f"\n{addition}\nfi\n"))
    return f"{world.relative(path)}: {addition}"


def eclass_added(world: World) -> str | None:
    """A new eclass; in an overlay it may have the name of one that is inherited from elsewhere."""
    overlay = world.tree.repositories[world.random.choice(("gen", "extra", "extra", "solo"))]
    name = world.random.choice([*ECLASSES, "absent", "brand-new"])
    target = overlay / f"eclass/{name}.eclass"
    if target.exists():
        return None
    world.edits.write(target, eclass_text(name, "added") if name in ECLASSES else 'IUSE="nls"\n')
    other = world.main / "eclass" / target.name
    if other.exists() and world.random.random() < 0.3:  # Portage takes two of the same time for the same
        os.utime(target, ns=(other.stat().st_mtime_ns, other.stat().st_mtime_ns))
    return f"{world.relative(target)} added"


def eclass_gone(world: World) -> str | None:
    """An eclass deleted or renamed, or all of a repository's."""
    path = world.eclass()
    action = world.random.choice(("deleted", "renamed", "deleted", "renamed", "folder renamed"))
    if action == "deleted":
        world.edits.remove(path)
    elif action == "renamed":
        target = path.with_name(world.random.choice(("unused.eclass", "docs.eclass", "new.eclass", "common.bak")))
        if target == path:
            return None
        world.edits.rename(path, target)
    else:
        world.edits.rename(path.parent, path.parent.with_name("eclass.old"))
    return f"{world.relative(path)} {action}"


def eclass_folder(world: World) -> str:
    """The folder of eclasses is elsewhere, with a link in its place."""
    folder = world.repository() / "eclass"
    target = folder.with_name("moved")
    world.edits.rename(folder, target)
    world.edits.link(folder, "moved")
    return f"{world.relative(folder)} made a link"


def _entry(world: World) -> Path:
    """Where an ebuild's cached metadata are, or would be."""
    ebuild = world.ebuild()
    repository = ebuild.parents[2]
    if ebuild.parent.is_symlink() or not (repository / "metadata").is_dir():
        repository = world.main
    return repository / "metadata/md5-cache" / ebuild.parents[1].name / ebuild.stem


def cache_edited(world: World) -> str | None:
    """An entry that is stale, or lies, or cannot be read."""
    path = _entry(world)
    if not path.is_file():
        return None
    text = path.read_text()
    action = world.random.choice(("stale", "lies", "lies", "garbage", "empty", "SLOT", "eclass"))
    changed = {
        "stale": re.sub(r"_md5_=.", "_md5_=x", text),
        "lies": f"{re.sub('^RDEPEND=.*$', '', text, flags=re.M)}RDEPEND={world.atom()}\n",
        "garbage": "\0garbage",
        "empty": "",
        "SLOT": re.sub(r"^SLOT=.*$", "SLOT=9", text, flags=re.M),
        "eclass": re.sub(r"^_eclasses_=(\w+\t).", r"_eclasses_=\1x", text, flags=re.M),
    }[action]
    if changed == text:
        return None
    world.edit(path, changed)
    return f"{world.relative(path)}: {action}"


def cache_gone(world: World) -> str | None:
    """An entry deleted, or all of a category's or a repository's."""
    path = world.random.choices((_entry(world), _entry(world).parent, _entry(world).parents[1]), (6, 1, 1))[0]
    if not path.exists():
        return None
    world.edits.remove(path)
    return f"{world.relative(path)} deleted"


def cache_added(world: World) -> str | None:
    """An entry for an ebuild that had none, or for none: a lie with the right digest."""
    ebuild = world.ebuild()
    path = _entry(world)
    if path.exists():
        return None
    import hashlib

    digest = hashlib.md5(ebuild.read_bytes(), usedforsecurity=False).hexdigest()
    target = path.parents[1] / ebuild.parents[1].name / ebuild.stem
    text = f"DEFINED_PHASES=-\nDESCRIPTION=x\nEAPI=8\nKEYWORDS=amd64\nRDEPEND={world.atom()}\nSLOT=0\n_md5_={digest}\n"
    world.edits.write(target, text)
    return f"{world.relative(target)} added"


def layout(world: World) -> str | None:
    """A line of layout.conf."""
    path, random = world.repository() / "metadata/layout.conf", world.random
    key, value = random.choice((
        ("masters", "gen"), ("masters", "solo"), ("masters", ""), ("masters", "absent"), ("masters", "gen solo"),
        ("cache-formats", "pms"), ("cache-formats", ""), ("cache-formats", "md5-dict"), ("aliases", "other"),
        ("profile-formats", "portage-1"), ("profile-formats", "pms"), ("profile-formats", "portage-2 profile-set"),
        ("repo-name", "other"), ("eapis-banned", "7"), ("eapis-deprecated", "7"), ("thin-manifests", "false"),
        ("profile-formats", "portage-2 profile-default-eapi profile-set"), ("profile_eapi_when_unspecified", "5"),
        ("properties-allowed", "live"), ("restrict-allowed", "test"), ("manifest-hashes", "SHA512"), ("nonsense", "x"),
    ))  # fmt: skip
    text = path.read_text()
    changed = re.sub(rf"^{key} =.*\n", "", text, flags=re.M) + f"{key} = {value}\n"
    if sorted(changed.split("\n")) == sorted(text.split("\n")):
        return None
    world.edit(path, changed)
    return f"{world.relative(path)}: {key} = {value}"


def metadata_other(world: World) -> str:
    """What else may be in metadata/, and files of a repository that nobody asks for."""
    name = world.random.choice((
        "metadata/timestamp.chk", "metadata/timestamp", "metadata/quern-tools", "metadata/dtd/x.dtd", "README.md",
        "metadata/news/a/a.txt", "metadata/md5-cache/app-misc/absent-1", "sets.conf", "sets/mine", "licenses/MIT",
        "metadata/pkg_desc_index", "metadata/install-qa-check.d/a", "toolchain/gcc", "scripts/x.sh", ".git/index",
    ))  # fmt: skip
    path = world.repository() / name
    text = {"sets.conf": "[mine]\nclass = portage.sets.files.StaticFileSet\n"}.get(path.name, "new\n")
    world.edits.write(path, text)
    return f"{world.relative(path)} added"


def link_to_other(world: World) -> str:
    """A file replaced by a link to another one, within the tree or outside."""
    path, random = world.random.choice((world.ebuild, world.eclass))(), world.random
    target = world.tree.outside / f"target{path.suffix}"
    text = path.read_text()
    world.edits.write(target, random.choice((text, f"{text}# another\n", "")))
    world.edits.link(path, str(target))
    return f"{world.relative(path)} made a link"


def link_retargeted(world: World) -> str:
    """A link that is there leads elsewhere: to another text, to the same, to nothing, or there by another way."""
    path, outside = world.random.choice(_links(world)), world.tree.outside
    action = world.random.choice(("copy", "another", "nowhere", "same by another way", "what it leads to"))
    real = path.resolve()
    if action == "copy" and path.is_file():
        world.edits.write(outside / "copy", path.read_text())
        world.edits.link(path, str(outside / "copy"))
    elif action == "another" and path.is_file():
        world.edits.write(outside / "copy", f"{path.read_text()}# more\n")
        world.edits.link(path, str(outside / "copy"))
    elif action == "nowhere":
        world.edits.link(path, "nowhere")
    elif action == "same by another way":
        world.edits.link(path, f"{real.parent}/./{real.name}")
    elif real.is_dir():
        world.edits.write(real / "linked-2.ebuild", (real / "linked-1.ebuild").read_text())
    else:
        world.edits.write(real, f"{real.read_text()}# behind the link\n")
    return f"{world.relative(path)}: {action}"


def _links(world: World) -> list[Path]:
    main = world.main
    tool = main / "dev-util/make-tool"
    linked = world.tree.repositories["solo"] / "dev-libs/linked"
    return [linked, main / "eclass/fetch.eclass", tool / "files/shared.patch", tool / "make-tool-7.ebuild"]


def folder_moved(world: World) -> str:
    """A category or a package's folder is elsewhere, with a link in its place."""
    folder = world.random.choice((world.folder(), world.folder().parent))
    target = world.tree.outside / f"moved-{folder.name}"
    if folder.is_symlink():
        folder = folder.parent
    world.edits.rename(folder, target)
    world.edits.link(folder, str(target))
    if world.random.random() < 0.5:
        ebuild = sorted(target.rglob("*.ebuild"))[0]
        world.edits.write(ebuild, f"{ebuild.read_text()}# moved and edited\n")
    return f"{world.relative(folder)} made a link"


def inherited_everywhere(world: World) -> str:
    """An edit of two eclasses at once, as in a sync."""
    first, second = world.random.sample(eclasses(world.main), 2)
    for path in (first, second):
        world.edits.write(path, f"{path.read_text()}# {world.random.random()}\n")
    return f"{world.relative(first)} and {second.name}: comments"


KINDS: dict[str, tuple[float, Mutation]] = {
    "eclass: edited": (5, eclass_edited),
    "eclass: added": (4, eclass_added),
    "eclass: gone": (3, eclass_gone),
    "eclass: folder a link": (1, eclass_folder),
    "eclass: two edited": (1, inherited_everywhere),
    "md5-cache: edited": (6, cache_edited),
    "md5-cache: gone": (3, cache_gone),
    "md5-cache: added": (4, cache_added),
    "metadata: layout.conf": (6, layout),
    "metadata: other files": (3, metadata_other),
    "link: in a file's place": (3, link_to_other),
    "link: retargeted": (3, link_retargeted),
    "link: folder moved": (2, folder_moved),
}
