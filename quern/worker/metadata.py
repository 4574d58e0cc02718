"""The metadata of a binary package without what says when, where and by whom it was built."""

from __future__ import annotations

import bz2
import re
from collections.abc import Mapping

# differ between two builds of one recipe, and are of no use to whoever installs the package: FEATURES say who has built
# (emerge ignores those of a binary package, ebuild.sh --filter-features), REPO_REVISIONS the repository's last commit;
# the others are of an installed package
DROPPED = ("BINPKGMD5", "CONTENTS", "COUNTER", "FEATURES", "MERGE_TYPE", "REPO_REVISIONS", "metadata")
UNSORTED = ("NEEDED", "NEEDED.ELF.2")  # scanelf finds files in the order of the file system
BUILD_ID = "1"
ENVIRONMENT = "environment.bz2"
LARGEST = 8 << 20  # bytes of an environment

# of the environment: what Portage sets anew wherever a phase runs, and what only builds have
_VARIABLES = re.compile(
    r"FEATURES|PORTAGE_FEATURES|PORTAGE_REPO_REVISIONS|PORTAGE_(?:BZIP2|COMPRESSION)_COMMAND|BINPKG_GPG_\w+|GPG_VERIFY_\w+"
    r"|MERGE_TYPE|EMERGE_FROM|MAKEOPTS|BUILD_ID|HOME|PATH|PWD|OLDPWD|SHLVL|PORTAGE_BUILDDIR|PORTAGE_TMPDIR|PORTAGE_LOG_FILE"
    r"|SHELL|USER|USERNAME|LOGNAME|HOSTNAME|TERM|COLUMNS|LINES|PORTAGE_USERNAME|PORTAGE_GRPNAME|PORTAGE_INST_[UG]ID"
    r"|CONFIG_SITE"  # of configure(1): a file of the build's own
    r"|PKGDIR|DISTDIR|ROOT|EROOT|SYSROOT|ESYSROOT|BROOT|PORTAGE_CONFIGROOT|D|ED|T|WORKDIR|FILESDIR|EBUILD|PORTDIR|ECLASSDIR"
)
# a line of `declare -p` (bash(1)): a name, and its value in quotes of one of two kinds, or an array's
_QUOTED = rb"(?:\"[^\"\\]*(?:\\.[^\"\\]*)*\"|\$'[^'\\]*(?:\\.[^'\\]*)*')"
_ARRAY = rb"\((?:\[[^]]*\]=%b ?)*\)" % _QUOTED
_DECLARED = re.compile(
    rb"declare (?:-\S+ )?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:=(?:%b|%b))?\n" % (_QUOTED, _ARRAY), re.DOTALL
)


def normalised(metadata: Mapping[str, bytes], epoch: int, size: int) -> dict[str, bytes]:
    """The files of a package's metadata, by name; `epoch` stands for the time of the build, `size` is in bytes.

    Raises ValueError where the environment is not one.
    """
    files = {name: content for name, content in metadata.items() if name not in DROPPED}
    files.update({name: b"".join(sorted(files[name].splitlines(keepends=True))) for name in UNSORTED if name in files})
    files.update({"BUILD_ID": b"%s\n" % BUILD_ID.encode(), "BUILD_TIME": b"%d\n" % epoch, "SIZE": b"%d\n" % size})
    if ENVIRONMENT in files:
        files[ENVIRONMENT] = bz2.compress(environment(_unpacked(files[ENVIRONMENT])))
    return files


def stanza(former: Mapping[str, str], epoch: int) -> dict[str, str]:
    """What an index says of a package whose metadata is normalised, from what it said before, but for the file."""
    dropped = (*DROPPED, "MTIME", "PATH")
    kept = {name: value for name, value in former.items() if name not in dropped}
    return {**kept, "BUILD_ID": BUILD_ID, "BUILD_TIME": str(epoch)}


def environment(text: bytes) -> bytes:
    """An environment without the variables that say where it was; they come before all functions."""
    kept, end = [], 0
    while found := _DECLARED.match(text, end):
        if not _VARIABLES.fullmatch(found["name"].decode()):
            kept.append(found[0])
        end = found.end()
    return b"".join(kept) + text[end:]


def _unpacked(content: bytes) -> bytes:
    """The text of environment.bz2."""
    if not content:
        return b""
    stream = bz2.BZ2Decompressor()
    try:
        text = stream.decompress(content, LARGEST)
    except OSError as error:
        raise ValueError(f"its environment is damaged: {error}") from error
    if not stream.eof:
        raise ValueError(f"its environment is cut off, or has more than {LARGEST >> 20} MiB")
    return text
