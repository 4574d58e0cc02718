"""A Portage profile: its folders in the order Portage applies them, and what they make emerge install.

emerge skips a line it does not understand and installs nothing when @profile is empty, both with exit 0. Here each is
an error with file and line.

Sources: PMS 5 (profiles), portage(5) for the formats of layout.conf and portage's extensions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from quern.errors import ProfileError, display, hint
from quern.portage import profile_files, reading
from quern.portage.profile_files import Line
from quern.portage.repository import LAYOUT, Repository

_LIMIT = 500  # folders in a stack, and how deep they may inherit; Gentoo's deepest have some 30


class ProfileStack(NamedTuple):
    """A profile that was read and found good.

    folders     parents first, the profile itself last; a folder inherited twice stands there twice, as in Portage
    packages    the atoms of @profile
    system      the atoms of @system
    warnings    sentences for the user
    """

    folders: tuple[Path, ...]
    packages: tuple[str, ...]
    system: tuple[str, ...]
    warnings: tuple[str, ...]


class _Node(NamedTuple):
    """One folder of a stack, with the repository it belongs to (None: it is outside of all) and its EAPI."""

    folder: Path
    repository: Repository | None
    eapi: int
    inherited_from: Repository | None

    @property
    def has_profile_set(self) -> bool:
        return self.repository is not None and "profile-set" in self.repository.profile_formats


def find_profile(profile: str, repositories: Sequence[Repository]) -> Path:
    """Find the folder of `REPOSITORY:PATH`. Raises ProfileError with the nearest name."""
    name, _, path = profile.partition(":")
    return _below(_repository(name, repositories, f"build.profile = {profile}"), path, f"build.profile = {profile}")


def read_profile_stack(folder: Path, repositories: Sequence[Repository], include_system: bool = False) -> ProfileStack:
    """Read the profile in `folder` with all it inherits, and check everything Portage would skip silently.

    include_system      is @system installed too? Then it may be @profile that is empty
    Raises ProfileError with file and line.
    """
    if not folder.is_dir():
        raise ProfileError(f"{display(folder)}: there is no such profile folder")
    nodes = list(islice(_walk(folder, repositories, None, ()), _LIMIT))
    if len(nodes) == _LIMIT:
        raise ProfileError(f"{display(folder)}: inherits {_LIMIT} folders or more")
    for node in nodes:
        profile_files.check(node.folder, node.eapi)
    owner = nodes[-1].repository
    if owner and owner.is_copied:
        profile_files.check(owner.profiles, profile_files.eapi(owner.profiles, owner.profile_eapi))
    for problem in _ignored(nodes[-1:]):
        raise ProfileError(problem)
    packages = _stack_packages([node for node in nodes if node.has_profile_set])
    everything = _stack_packages(nodes)
    profile = tuple(atom for atom in packages if not atom.startswith("*"))
    system = tuple(atom[1:] for atom in everything if atom.startswith("*"))
    if not profile and not (include_system and system):
        raise ProfileError(_why_empty(nodes, system, include_system))
    return ProfileStack(tuple(node.folder for node in nodes), profile, system, tuple(_warnings(nodes)))


def parent_lines(folder: Path, repositories: Sequence[Repository]) -> dict[Path, list[str]]:
    """The lines (FILE:LINE) of `parent` files by which the profile in `folder` inherits each of its other folders.

    From the profile's own to the one that names that folder; where there are several ways, a shortest. Raises
    ProfileError.
    """
    found: dict[Path, list[str]] = {folder: []}
    todo = [folder]
    for child in todo:
        owner = _owner(child, repositories)
        for line in profile_files.lines(child / "parent"):
            parent = _parent(line, child, owner, repositories)
            if parent not in found:
                found[parent] = [*found[child], line.place]
                todo.append(parent)
    return found


def _walk(
    folder: Path, repositories: Sequence[Repository], child: Repository | None, chain: tuple[Path, ...]
) -> Iterator[_Node]:
    """Give the parents of a profile folder, in order and each after its own parents, then the folder itself."""
    if len(chain) == _LIMIT:
        raise ProfileError(f"{display(chain[0])}: inherits {_LIMIT} folders or more")
    if folder in chain:
        raise ProfileError(f"{display(chain[-1] / 'parent')}: {display(folder)} inherits itself")
    repository = _owner(folder, repositories)
    parents = folder / "parent"
    if parents.exists():
        lines = profile_files.lines(parents)
        if not lines:
            raise ProfileError(f"{display(parents)}: expected the path of a profile in each line, got none")
        for line in lines:
            yield from _walk(
                _parent(line, folder, repository, repositories), repositories, repository, (*chain, folder)
            )
    default = repository.profile_eapi if repository else "0"
    yield _Node(folder, repository, profile_files.eapi(folder, default), child)


def _parent(line: Line, folder: Path, owner: Repository | None, repositories: Sequence[Repository]) -> Path:
    """Find the folder that a line of a `parent` file names (PMS 5.2.1; REPOSITORY:PATH is Portage's portage-2)."""
    name, colon, path = line.text.partition(":")
    if colon and not name.startswith("/"):
        if owner is None or "portage-2" not in owner.profile_formats:
            layout = display((owner.location if owner else folder) / LAYOUT)
            raise ProfileError(f"{line.place}: {line.text!r} needs `profile-formats = portage-2` in {layout}")
        return _below(_repository(name, repositories, line.place) if name else owner, path, line.place)
    found = Path(os.path.normpath(folder / line.text))
    if owner and owner.is_copied and not found.is_relative_to(owner.profiles):
        raise ProfileError(f"{line.place}: {line.text!r} leads out of {display(owner.profiles)}; write REPOSITORY:PATH")
    if found.is_dir():
        return found
    if owner and found.is_relative_to(owner.profiles):
        return _below(owner, str(found.relative_to(owner.profiles)), line.place)
    raise ProfileError(f"{line.place}: there is no profile {line.text!r}")


def _owner(folder: Path, repositories: Sequence[Repository]) -> Repository | None:
    """Find the repository a profile folder belongs to; of nested ones, the inner."""
    owners = [repository for repository in repositories if folder.is_relative_to(repository.profiles)]
    return max(owners, key=_depth, default=None)


def _depth(repository: Repository) -> int:
    return len(repository.profiles.parts)


def _repository(name: str, repositories: Sequence[Repository], place: str) -> Repository:
    for repository in repositories:
        if name in repository.names:
            return repository
    known = [name for repository in repositories for name in repository.names]
    raise ProfileError(f"{place}: portage.repositories lists no repository {name!r}{hint(name, known)}")


def _below(repository: Repository, path: str, place: str) -> Path:
    """Find a repository's profile; when it is not there, name the nearest sibling of the part that is missing."""
    folder = repository.profiles
    parts = [part for part in path.split("/") if part]
    if not parts or ".." in parts:
        raise ProfileError(f"{place}: expected the path of a profile below {repository.name}:, got {path!r}")
    for depth, part in enumerate(parts):
        if not (folder / part).is_dir():
            siblings = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
            form = ":".join([repository.name, "/".join([*parts[:depth], "{}", *parts[depth + 1 :]])])
            raise ProfileError(f"{place}: there is no profile {repository.name}:{path}{hint(part, siblings, form)}")
        folder = folder / part
    return folder


def _stack_packages(nodes: Sequence[_Node]) -> list[str]:
    """Stack the `packages` files: later lines beginning with - take back earlier ones, -* all of them."""
    stacked: dict[str, None] = {}
    for node in nodes:
        for line in profile_files.lines(node.folder / "packages"):
            if line.text == "-*":
                stacked.clear()
            elif line.text.startswith("-"):
                stacked.pop(line.text[1:], None)
            else:
                stacked[line.text] = None
    return list(stacked)


def _why_empty(nodes: Sequence[_Node], system: Sequence[str], include_system: bool) -> str:
    """Say why nothing would be installed, and what to do."""
    top = display(nodes[-1].folder / "packages")
    ignored = next(_ignored(nodes), None)
    if ignored:
        return ignored
    if system and not include_system:
        return (
            f"{top}: the profile has only *category/package lines, which make up @system; "
            "drop the * to have them in the image, or set `include_system = on` in [build]"
        )
    return f"{top}: the profile names no package to install; write a line category/package"


def _ignored(nodes: Sequence[_Node]) -> Iterator[str]:
    """Say which `packages` files Portage leaves out of @profile because of their repository's format."""
    for node in nodes:
        if node.has_profile_set:
            continue
        lines = [line for line in profile_files.lines(node.folder / "packages") if line.text[0] not in "*-"]
        if lines and node.repository:
            yield (
                f"{lines[0].place}: Portage does not install this, because profile-formats in "
                f"{display(node.repository.location / LAYOUT)} lacks profile-set"
            )


def _warnings(nodes: Sequence[_Node]) -> Iterator[str]:
    """Say what is odd and no error: ignored packages of parents, and profiles their repository calls deprecated.

    As in Portage, that a profile is deprecated is of interest where another repository's profile inherits it.
    """
    yield from _ignored(nodes)
    for node in nodes:
        notice = node.folder / "deprecated"
        if notice.exists() and (node.repository is None or node.repository is not node.inherited_from):
            instead = reading.text(notice).split("\n")[0].strip()
            yield f"profile {display(node.folder)} is deprecated" + (f"; use {instead}" if instead else "")
