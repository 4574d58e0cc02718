"""What emerge does to source files that are there: one that does not match a Manifest is renamed, and fetched again.

The Manifest may be wrong and the file right, and the folder may be the user's own: such a file gets its name back, or
if another was fetched in its place, the user is told where it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

# Portage's fetch.py, _checksum_failure_temp_file: one with the same content under such a name is not kept twice
RENAMED = re.compile(r"(.+)\._checksum_failure_\..+")


class Found(NamedTuple):
    """A file, as far as it is looked at."""

    inode: int
    size: int


class Renamed(NamedTuple):
    """A file `name` that emerge has renamed to `now`; `is_back` if it has its name again."""

    name: Path
    now: Path
    is_back: bool

    def __str__(self) -> str:
        """What to tell the user."""
        what = "it is left as it was" if self.is_back else f"another was fetched, and that one is now {self.now}"
        return f"Warning: {self.name} is not what its Manifest describes; {what}"

    def told(self, output: str) -> str:
        """The output of emerge with what is true of the file."""
        renamed = rf"File renamed to '[^']*{re.escape(self.now.name)}'"
        return re.sub(renamed, lambda _: f"File kept as '{self.name}'", output) if self.is_back else output


def look(folder: Path) -> dict[str, Found]:
    """The files of the folder, by name."""
    files = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # another image's emerge may be at work there
                state = entry.stat(follow_symlinks=False)
                files[entry.name] = Found(state.st_ino, state.st_size)
    return files


def put_back(folder: Path, before: Mapping[str, Found]) -> list[Renamed]:
    """Give the files that were there `before` their names again, where nothing has been put in their place."""
    after, renamed = look(folder), []
    for now, found in after.items():
        match = RENAMED.fullmatch(now)
        former = before.get(match[1]) if match else None
        if not match or not former or former == after.get(match[1]):
            continue
        if found.inode == former.inode or (now in before and found.size == former.size):
            name = folder / match[1]
            renamed.append(Renamed(name, folder / now, _rename(folder / now, name)))
    return renamed


def unseen(
    folder: Path, names: Iterable[str], seen: Iterable[Path], hidden: Iterable[str] | None = None
) -> dict[Path, Path]:
    """Links among the files of the folder, and where they lead: below folders `hidden`, and not where `seen` are.

    By default these are the folders that confined builds have for themselves.
    """
    from quern.worker.namespaces import HIDDEN

    covered = [Path(path).resolve() for path in (HIDDEN if hidden is None else hidden)]
    places = [path.resolve() for path in seen]
    links = {path: path.resolve() for path in (folder / name for name in sorted(set(names))) if path.is_symlink()}
    return {
        link: target
        for link, target in links.items()
        if any(map(target.is_relative_to, covered)) and not any(map(target.is_relative_to, places)) and target.exists()
    }


def _rename(source: Path, target: Path) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)  # unlike a rename, not over what is there
        source.unlink()
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        source.rename(target)
    return True
