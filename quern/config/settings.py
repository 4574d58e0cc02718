"""The configuration of one image as a frozen value: everything in it is valid, nothing re-checks it.

Paths are absolute. None and empty tuples stand for "not configured"; what that means is the reader's to know.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

Pairs = tuple[tuple[str, str], ...]


class Build(NamedTuple):
    """[build]: what is built, and where."""

    driver: Literal["raw", "docker"]
    confine: Literal["auto", "on", "off"]
    outdir: Path | None
    profile: str | None
    workdir: Path | None
    compression: Literal["gzip", "zstd"]
    image_name: str | None
    include_system: bool
    baselayout_atoms: tuple[str, ...]
    source_date_epoch: int | None
    keep_failed: bool
    keep_going: bool
    lock: Path | None
    locked: bool
    closure: Literal["warn", "error"]


class Storage(NamedTuple):
    """Where a container has room for what a build throws away: tmpfs of `size` bytes, the named volume `volume`, or,
    with neither, the work folder.
    """

    volume: str | None = None
    size: int | None = None


class Docker(NamedTuple):
    """[docker]: the daemon's URL (None: the usual socket), and the containers of the docker driver.

    image       the builder image
    network     None: none
    memory      bytes; None: no limit
    cpus        processors, in units of 1e-9; None: no limit
    capabilities    what a build gets besides those that emerge needs, as CAP_NAME
    workdir_storage where packages are unpacked and compiled
    """

    daemon: str | None
    image: str | None
    network: str | None
    memory: int | None
    cpus: int | None
    capabilities: tuple[str, ...]
    workdir_storage: Storage


class Emerge(NamedTuple):
    """[emerge]: how packages are built.

    `jobs` are the processes at once, 0 means one per core; `memory_per_job` are the bytes each of them may need.
    """

    ask: bool
    jobs: int
    memory_per_job: int


class RepositoryRef(NamedTuple):
    """One entry of portage.repositories: a folder, or a bare name (exactly one of the two is set)."""

    name: str | None
    path: Path | None


class Portage(NamedTuple):
    """[portage]: where packages come from. `repositories` None: the system's. `mirrors`: (name, URL), in order.

    `gentoo_mirrors` are URLs of mirrors of all distfiles, in whose folder `distfiles` these are.
    """

    binhost: tuple[str, ...]
    binhost_keys: Path | None
    binpkg: Path | None
    distfiles: Path | None
    repositories: tuple[RepositoryRef, ...] | None
    mirrors: Pairs
    gentoo_mirrors: tuple[str, ...]
    offline: bool
    signing_key: str | None


class RepositorySection(NamedTuple):
    """[repository:NAME]: a repository, and what overrides its own layout.conf. `masters` None: what that says."""

    name: str
    location: Path
    masters: tuple[str, ...] | None
    priority: int | None
    eclass_overrides: tuple[str, ...]
    aliases: tuple[str, ...]


class Strip(NamedTuple):
    """[strip]: what is left out of the image. `paths` are absolute paths in the image, globs allowed."""

    doc: bool
    dev: bool
    paths: tuple[str, ...]


class Postbuild(NamedTuple):
    """[postbuild]: what happens to the archive. None: loaded if a daemon answers."""

    engines: Literal["docker", "none"] | None


class Tests(NamedTuple):
    """[tests]: how the finished image is tested. `timeout` is in seconds for each test; 0: none."""

    timeout: int
    network: bool


class Dockergen(NamedTuple):
    """[dockergen]: name and run-time configuration. `tag` may hold the token $$DATE$$; `ports` are N/PROTOCOL.

    `stop_signal` is SIGNAME.
    """

    name: str | None
    tag: str
    maintainer: str | None
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...] | None
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    workdir: str | None
    user: str | None
    env: Pairs
    labels: Pairs
    stop_signal: str | None
    annotations: Pairs


class Settings(NamedTuple):
    """All of it.

    `sources` are the files read, `origins` where each option that was set comes from (option, place); `warnings` are
    lines for the user.
    """

    build: Build
    docker: Docker
    emerge: Emerge
    portage: Portage
    repositories: tuple[RepositorySection, ...]
    strip: Strip
    postbuild: Postbuild
    dockergen: Dockergen
    tests: Tests
    sources: tuple[Path, ...] = ()
    origins: Pairs = ()
    warnings: tuple[str, ...] = ()
