"""Owners of a package's files: a number that no account of its build has is one of the machine's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO

from . import WorkerError
from .accounts import LIMIT, Numbers, rows
from .content import Content

FOREIGN = (
    "{path} belongs to {owner}, which no /etc/passwd or /etc/group that it is built with has{more}; give it an owner"
    " (`cp -a` keeps that of a file of this machine), or have it built with what adds the account (acct-user/NAME,"
    " acct-group/NAME, [build] baselayout_atoms)"
)


def check(contents: Mapping[bytes, Content], spool: IO[bytes], known: Numbers) -> None:
    """Raise WorkerError where the owner of a file is neither `known` nor in the package's own files of accounts."""
    users = known.users | _own(contents, spool, b"etc/passwd", 7)
    groups = known.groups | _own(contents, spool, b"etc/group", 4)
    found = []
    for name in sorted(contents):
        info = contents[name].info
        odd = [f"user {info.uid}"] if info.uid not in users else []
        odd += [f"group {info.gid}"] if info.gid not in groups else []
        if odd:
            found.append((name, " and ".join(odd)))
    if found:
        (name, owner), more = found[0], len(found) - 1
        others = f", nor the owners of {more} more files" if more else ""
        raise WorkerError(FOREIGN.format(path=f"/{os.fsdecode(name)}", owner=owner, more=others))


def _own(contents: Mapping[bytes, Content], spool: IO[bytes], name: bytes, columns: int) -> frozenset[int]:
    """The numbers in a file of accounts that the package installs itself."""
    content = contents.get(name)
    if content is None or not content.info.isreg() or content.info.size > LIMIT:
        return frozenset()
    spool.seek(content.start)
    text = spool.read(content.info.size).decode(errors="replace")
    return frozenset(int(row[2]) for row in rows(text, columns))
