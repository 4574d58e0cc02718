"""Strip rules: paths inside an image root, with globs, that can never reach out of it.

`*`, `?` and `[...]` stay within one name and match a leading dot too; `**` stands for any number of folders. Links on
the way are followed as the image itself would follow them (`/lib/x` finds `usr/lib/x` when /lib is a link); a link at
the end of a rule is taken itself, not what it points to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase

from . import WorkerError
from .links import real_folder


def parse(rule: str) -> tuple[str, ...]:
    """The names of a rule; WorkerError if it is not an absolute path below the root or has `..` in it."""
    names = tuple(name for name in rule.split("/") if name not in ("", "."))
    if not rule.startswith("/"):
        raise WorkerError(f"strip rule {rule!r}: expected an absolute path inside the image, such as /usr/share/man")
    if not names:
        raise WorkerError(f"strip rule {rule!r} would remove the whole image")
    if ".." in names:
        raise WorkerError(f"strip rule {rule!r}: '..' is not allowed, name the folder itself")
    # one `**` is any number of folders already; each more would multiply the ways to the same file
    return tuple(name for index, name in enumerate(names) if name != "**" or names[:index][-1:] != ("**",))


def matches(root: bytes, rule: str) -> set[bytes]:
    """What `rule` finds: names below `root` by real folders, so that a walk of the tree meets each of them."""
    return set(_expand(root, b"", parse(rule)))


def _expand(root: bytes, folder: bytes, names: tuple[str, ...]) -> Iterator[bytes]:
    """What `names` match in `folder`, a real folder below `root`."""
    name, rest = names[0], names[1:]
    if name == "**":
        yield from _expand(root, folder, rest or ("*",))
        if rest:
            for child in _children(root, folder):
                if stat.S_ISDIR(os.lstat(os.path.join(root, child)).st_mode):
                    yield from _expand(root, child, names)
        return
    for child in _children(root, folder):
        if not fnmatchcase(_text(os.path.basename(child)), name):
            continue
        if not rest:
            yield child
        elif (real := real_folder(root, child)) is not None:
            yield from _expand(root, real, rest)


def _children(root: bytes, folder: bytes) -> list[bytes]:
    return [os.path.join(folder, name) for name in os.listdir(os.path.join(root, folder))]


def _text(name: bytes) -> str:
    """A name for comparison with a rule, whatever the locale: `?` is one character of UTF-8, not one byte."""
    return name.decode("utf-8", "surrogateescape")
