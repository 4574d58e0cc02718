"""What a binary package has below its image."""

from __future__ import annotations

import tarfile
from typing import NamedTuple


class Content(NamedTuple):
    """One file, folder or link of an image; a regular file's bytes are `info.size` ones of the spool from `start`.

    `first` is the name of the file that this is a hard link to, as the image that was read has it.
    """

    info: tarfile.TarInfo
    start: int = 0
    first: bytes = b""
