"""The recipe folder of a build: one small repository for each of the image's, with nothing but what the build declares.

STAGING/scratch/
  recipe/REPOSITORY/      what all builds see of a repository; laid out once, after the packages were resolved
    metadata/layout.conf, metadata/*-qa-check.d/
    profiles/             the profiles in use, and the files of profiles/ that Portage has read
  NAME/recipe/REPOSITORY/ a copy of that, and of the package of this build:
    CATEGORY/PN/          its one ebuild, files/, and the lines of its Manifest for these and for its sources
    eclass/               the eclasses that it inherits

All are copies: files have the mode 0644 or 0755, root's owner where quern is root's, one constant time and no
attributes, whatever the originals have. No cached metadata is among them: Portage reads the ebuild itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quern.errors import BuildError
from quern.portage import keys, reading, watch
from quern.portage.emerge import PACKAGE_EPOCH
from quern.portage.repository import LAYOUT, Repository
from quern.steps.emerging import RECIPE
from quern.steps.portage import profile_parts
from quern.worker.resolve import QA_CHECKS

if TYPE_CHECKING:
    from quern.portage.plan import Package, Plan
    from quern.portage.watch import Seen
    from quern.steps.emerging import Build

GONE = (FileNotFoundError, NotADirectoryError)  # a sync, say
UNREAD = ("updates", "desc")  # of profiles/: of use to who updates a system, or describes its flags

CHANGED = "{package}: its ebuild, an eclass or another file of it was changed since it was planned; run it again"
SHARED_CHANGED = "{path} was changed since the packages were planned (a sync?); run it again when that is over"


def lay_out_shared(build: Build, plan: Plan, seen: Mapping[str, Seen]) -> None:
    """Copy what all builds of `plan` see of the repositories to scratch/recipe.

    `seen` is what was there when it was resolved. Raises BuildError if something else is there now.
    """
    repositories = build.setup.repositories()
    stack = build.setup.stack().folders
    used = list[Path]()
    for repository in repositories:
        target = build.scratch / RECIPE / repository.name
        make_folder(target)
        for name in _shared(repository, plan, stack):
            source = repository.location / name
            try:
                content = reading.content(source)
            except GONE:
                raise BuildError(SHARED_CHANGED.format(path=source)) from None
            if source.name == "parent":
                content = copied_parents(content, source.parent, repository, repositories)
            write_file(target / name, content, source)
            both = (source, Path(os.path.realpath(repository.location), name))  # Portage calls it by its real name
            used += [place for path in both for place in (path, path.parent)]
    known = [str(path) for path in dict.fromkeys(used) if str(path) in seen]
    for path, now in watch.look(known).items():
        if now.content != seen[path].content:
            raise BuildError(SHARED_CHANGED.format(path=path))


def lay_out(place: Build, package: Package, expected: Mapping[str, Any]) -> None:
    """Make the recipe folder of the build of `package` in `place`; `expected` is the recipe that its key has.

    Raises BuildError if what was copied is another one.
    """
    assert place.recipe is not None
    folder, repositories = place.recipe, place.setup.repositories()
    make_folder(folder)
    shared = place.scratch / RECIPE
    for repository in repositories:
        make_folder(folder / repository.name)
        copy_tree(shared / repository.name, folder / repository.name)
    try:
        copy = _copy_package(package, folder, repositories)
        is_same = keys.recipe(copy) == expected
    except GONE:
        is_same = False
    if not is_same:
        raise BuildError(CHANGED.format(package=package.cpv))
    settle(folder)


def _copy_package(package: Package, folder: Path, repositories: Iterable[Repository]) -> Package:
    """Copy what `package` alone is built from to the repositories in `folder`; returns the package of the copies."""
    ebuild, target = Path(package.ebuild), folder / package.repository / package.name
    make_folder(target)
    write_file(target / ebuild.name, reading.content(ebuild))
    if (ebuild.parent / "files").is_dir():
        make_folder(target / "files")
        copy_tree(ebuild.parent / "files", target / "files")
    if lines := copied_manifest(ebuild.parent / "Manifest", ebuild.name, package.distfiles):
        write_file(target / "Manifest", lines)
    eclasses = dict[str, str]()
    for name, path in package.eclasses.items():
        file = Path("eclass", f"{name}.eclass")
        owner = next(each for each in repositories if _below(path, each.location) == file)
        eclasses[name] = str(folder / owner.name / file)
        write_file(Path(eclasses[name]), reading.content(Path(path)))
    return replace(package, ebuild=str(target / ebuild.name), eclasses=eclasses)


def _below(path: str | Path, location: Path) -> Path | None:
    """A path relative to a repository's folder, which Portage calls by its real name; None if it is not in there."""
    for folder in (location, Path(os.path.realpath(location))):
        if Path(path).is_relative_to(folder):
            return Path(path).relative_to(folder)
    return None


def copied_manifest(manifest: Path, ebuild: str, distfiles: Iterable[str]) -> bytes:
    """The lines of a Manifest (GLEP 74) that are about what is copied; MISC and other ebuilds are not."""
    if not manifest.exists():
        return b""
    wanted = {("EBUILD", ebuild), *(("DIST", name) for name in distfiles)}
    lines = []
    for line in reading.text(manifest).split("\n"):
        kind, name, *_ = [*line.split(), "", ""]
        if kind == "AUX" or (kind, name) in wanted:
            lines.append(f"{' '.join(line.split())}\n")
    return "".join(sorted(lines)).encode()


def _shared(repository: Repository, plan: Plan, stack: Iterable[Path]) -> list[str]:
    """The names, relative to `repository`, of the files that every build sees of it.

    Those below profiles/ that Portage has read, and the other parts of each profile folder that it has read from, and
    of the folders `stack`; what is sourced while packages are installed; layout.conf.
    """
    root = repository.location
    watched = {below for path in plan.watched if (below := _below(path, root)) and below.parts[0] == "profiles"}
    folders = {name.parent for name in watched if len(name.parts) > 2}
    folders |= {Path("profiles", below) for path in stack if (below := _below(path, repository.profiles))}
    found = {root / name for name in watched}
    for folder in (root / name for name in folders):
        if folder.is_dir():
            found.update(Path(path) for part in profile_parts(folder) for path in watch.tree(str(part)))
    for name in QA_CHECKS:
        found.update(Path(path) for path in watch.tree(str(root / "metadata" / name)))
    found |= {root / LAYOUT, root / "profiles/repo_name"}
    names = (path.relative_to(root) for path in found if path.is_file())
    return sorted(str(name) for name in names if name.parts[1] not in UNREAD)


def copied_parents(content: bytes, folder: Path, repository: Repository, repositories: Iterable[Repository]) -> bytes:
    """The content of a `parent` file (PMS 5.2.1) for the copy of the profile in `folder`.

    A line that leads out of its repository leads to the copy of the profile in another one, or stays where it was.
    """
    lines = []
    for line in content.decode(errors="surrogateescape").split("\n"):
        text = line.strip()
        if text and not text.startswith("#") and (":" not in text or text.startswith("/")):
            found = Path(os.path.normpath(folder / text))
            if text.startswith("/") or not found.is_relative_to(repository.location):
                line = _led_to(found, folder, repository, repositories)
        lines.append(line)
    return "\n".join(lines).encode(errors="surrogateescape")


def _led_to(found: Path, folder: Path, repository: Repository, repositories: Iterable[Repository]) -> str:
    for other in repositories:
        if found.is_relative_to(other.location):
            start = Path(repository.name, folder.relative_to(repository.location))
            return os.path.relpath(Path(other.name, found.relative_to(other.location)), start)
    return str(found)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what `keys.tree_digest` counts below the folder `source` into the folder `target`."""
    for entry in list(keys.tree(source, contained=True)):  # a link may lead to a folder that has the target in it
        copy = target / entry.name
        if entry.behind:
            continue
        if entry.link is not None:
            copy.symlink_to(entry.link)
        elif entry.is_folder:
            make_folder(copy)
        else:
            write_file(copy, reading.content(entry.path), entry.path)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, the last one without what it may inherit (acl(5))."""
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):  # a file system without any, a label that the system gives
        for name in os.listxattr(folder):
            os.removexattr(folder, name)


def write_file(path: Path, content: bytes, like: Path | None = None) -> None:
    """Write a file that is not there yet; it can be run if `like` can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(descriptor, 0o755 if like and like.stat().st_mode & 0o111 else 0o644)


def settle(folder: Path) -> None:
    """Give everything in `folder` one time, folders one mode, and root's owner where we are root."""
    for current, folders, names in os.walk(folder, topdown=False):
        for path in (*(os.path.join(current, name) for name in (*names, *folders)), current):
            if os.geteuid() == 0:
                os.chown(path, 0, 0, follow_symlinks=False)
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o755)
            os.utime(path, (PACKAGE_EPOCH, PACKAGE_EPOCH), follow_symlinks=False)
