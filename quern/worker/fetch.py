"""Portage's FETCHCOMMAND: a short time to connect, one retry of what was cut off, and no second try of a dead host.

Portage calls it once for each URL of a file, with an environment that it has filtered; what wget needs of the user's
own (proxies, certificates) is in the run file, which also remembers dead hosts between calls.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from . import regular

CONNECT = 10  # seconds
READ = 60  # seconds without a byte
TRIES = 2  # for a connection that was dropped; wget(1) tries neither a refused one nor an unknown name again
PARTIAL = ".__download__"  # how Portage calls a source that is not checked yet (portage.package.ebuild.fetch)
RECORD = ".quern-fetched"  # beside the sources: those that were fetched, a line each: inode, mtime (nanoseconds), name
NETWORK_FAILURE = 4  # wget(1), EXIT STATUS


def fetch(run_file: str, url: str, target: str) -> int:
    """Fetch `url` into `target`; returns the exit status for Portage, 0 for success.

    `run_file` is JSON: {"wget": path, "environment": {...}}; the names of dead hosts go to `run_file`.dead, that of a
    source to RECORD beside it: what quern has not fetched it may not remove either, see `doit prune`.
    """
    with open(run_file, encoding="utf-8") as file:
        run = json.load(file)
    host = urlsplit(url).netloc.rpartition("@")[2]
    dead = run_file + ".dead"
    if host and host in _lines(dead):
        print(f"{host} did not answer before; skipping {public(url)}")
        return NETWORK_FAILURE
    status = _copy(url, target) if urlsplit(url).scheme == "file" else _download(run, url, target)
    if host and status == NETWORK_FAILURE:
        regular.append(dead, host + "\n")
    if status and os.path.exists(target) and not os.path.getsize(target):
        os.unlink(target)  # wget -O makes the file first; Portage would try to resume it
    folder, name = os.path.split(target)
    if not status and name.endswith(PARTIAL):
        made = os.stat(target)  # Portage renames it, so it keeps both
        with suppress(OSError):  # others may add theirs at the same time; without a record it is never removed
            regular.append(os.path.join(folder, RECORD), f"{made.st_ino} {made.st_mtime_ns} {name[: -len(PARTIAL)]}\n")
    return status


def _download(run: Mapping[str, Any], url: str, target: str) -> int:
    """Have wget fetch `url`; returns its exit status."""
    options = [f"--tries={TRIES}", f"--connect-timeout={CONNECT}", f"--read-timeout={READ}", "--no-verbose"]
    # One file needs no second request on a connection; after a 401 wget would use one again that the server may close.
    options += [f"--dns-timeout={CONNECT}", "--no-hsts", "--no-http-keep-alive", *_authorities(run["environment"])]
    return subprocess.call([run["wget"], *options, "-O", target, url], env={**run["environment"], "LC_ALL": "C"})


def _copy(url: str, target: str) -> int:
    """Copy the file of this machine that `url` names, which wget(1) cannot; returns the exit status."""
    parts = urlsplit(url)
    source = unquote(parts.path)
    try:
        if parts.netloc not in ("", "localhost"):
            raise OSError(None, f"{parts.netloc} is another machine (RFC 8089)")
        if os.path.exists(source) and not os.path.isfile(source):  # a device or a pipe may have no end
            raise OSError(None, "not a regular file")
        shutil.copyfile(source, target)
    except OSError as error:
        print(f"copying {source} failed: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def public(url: str) -> str:
    """A URL without a user's name and password, for all to read."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _authorities(environment: Mapping[str, str]) -> list[str]:
    """The user's own certificate authorities as options: wget built with GnuTLS, as Debian's, reads no variable.

    The names are OpenSSL's (X509_get_default_cert_file(3)) and curl's; of several folders the first counts.
    """
    file = environment.get("SSL_CERT_FILE") or environment.get("CURL_CA_BUNDLE")
    folder = environment.get("SSL_CERT_DIR", "").split(":")[0]
    return [*([f"--ca-certificate={file}"] if file else []), *([f"--ca-directory={folder}"] if folder else [])]


def _lines(path: str) -> list[str]:
    try:
        return regular.text(path).split("\n")
    except FileNotFoundError:
        return []
