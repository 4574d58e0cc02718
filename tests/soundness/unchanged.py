"""Mutations that change nothing, and those that try to look as if they did not."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.soundness.world import Mutation, World


def _some_file(world: World) -> Path:
    """A file of a package, an eclass, a profile's file."""
    profiles = sorted(path for path in (world.main / "profiles").rglob("*") if path.is_file())
    return world.random.choice((world.ebuild(), world.eclass(), world.random.choice(profiles)))


def touch(world: World) -> str:
    """Another time for one file, or for all that there are."""
    everything = world.random.random() < 0.3
    files = [path for path in world.main.rglob("*") if path.is_file()] if everything else [_some_file(world)]
    for path in files:
        world.edits.touch(path, time.time_ns())
    return f"touch of {len(files)} files"


def same_in_place(world: World) -> str:
    """The same content written again."""
    path = _some_file(world)
    world.edits.write_in_place(path, path.read_text())
    return f"{world.relative(path)} written again"


def checkout(world: World) -> str:
    """The same content in new files, as git would leave them, of a whole folder."""
    folder = _some_file(world).parent
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.is_symlink()]
    for path in files:
        world.edits.write(path, path.read_text())
    return f"{world.relative(folder)} checked out again"


def there_and_back(world: World) -> str:
    """A folder renamed, and renamed back."""
    folder = _some_file(world).parent
    away = folder.with_name(f"{folder.name}.away")
    folder.rename(away)
    away.rename(folder)
    return f"{world.relative(folder)} renamed and renamed back"


def other_inode(world: World) -> str:
    """A copy of a whole package or of all eclasses in its place."""
    folder = world.random.choice((world.folder(), world.main / "eclass"))
    if folder.is_symlink():
        folder = world.main / "eclass"
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    contents = [(path, path.read_text()) for path in files]
    links = [(path, os.readlink(path)) for path in folder.rglob("*") if path.is_symlink()]
    world.edits.remove(folder)
    for path, text in contents:
        world.edits.write(path, text)
    for path, target in links:
        world.edits.link(path, target)
    return f"{world.relative(folder)} copied"


def sly(world: World) -> str | None:
    """Another content of the same size, with the former time of modification."""
    path = world.random.choice((world.ebuild, world.eclass))()
    text, status = path.read_text(), path.stat()
    digit = next((place for place, letter in enumerate(text) if letter.isdigit() and place > 10), None)
    if digit is None:
        return None
    changed = f"{text[:digit]}{(int(text[digit]) + 1) % 10}{text[digit + 1 :]}"
    world.edit(path, changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return f"{world.relative(path)}: another digit, same size and time"


# nothing that quern depends on changes: it must say so
NO_CHANGE: dict[str, tuple[float, Mutation]] = {
    "no change: touch": (2, touch),
    "no change: same content": (2, same_in_place),
    "no change: checked out again": (2, checkout),
    "no change: there and back": (2, there_and_back),
    "no change: copied": (1, other_inode),
}
KINDS: dict[str, tuple[float, Mutation]] = {**NO_CHANGE, "sly: same size and time": (4, sly)}
