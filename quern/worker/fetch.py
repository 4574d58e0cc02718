"""Portage's FETCHCOMMAND: a short time to connect, one retry of what was cut off, and no second try of a dead host.

Portage calls it once for each URL of a file, with an environment that it has filtered; what wget needs of the user's
own (proxies, certificates) is in the run file, which also remembers dead hosts between calls.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from . import regular

CONNECT = 10  # seconds
READ = 60  # seconds without a byte
# A server may close the connection that wget is about to use again (always a race after a 401), or drop it on the way.
# wget(1) tries neither a refused connection nor an unknown name again.
TRIES = 2
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
    if host in _lines(dead):
        print(f"{host} did not answer before; skipping {public(url)}")
        return NETWORK_FAILURE
    options = [f"--tries={TRIES}", f"--connect-timeout={CONNECT}", f"--read-timeout={READ}", "--no-verbose"]
    options += [f"--dns-timeout={CONNECT}", "--no-hsts", *_authorities(run["environment"])]
    status = subprocess.call([run["wget"], *options, "-O", target, url], env={**run["environment"], "LC_ALL": "C"})
    if status == NETWORK_FAILURE:
        regular.append(dead, host + "\n")
    if status and os.path.exists(target) and not os.path.getsize(target):
        os.unlink(target)  # wget -O makes the file first; Portage would try to resume it
    folder, name = os.path.split(target)
    if not status and name.endswith(PARTIAL):
        made = os.stat(target)  # Portage renames it, so it keeps both
        with suppress(OSError):  # others may add theirs at the same time; without a record it is never removed
            regular.append(os.path.join(folder, RECORD), f"{made.st_ino} {made.st_mtime_ns} {name[: -len(PARTIAL)]}\n")
    return status


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
