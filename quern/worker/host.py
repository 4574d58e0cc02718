"""The build's own host side: what Portage takes for the machine it runs on, kept in the work folder.

build/NAME/host/
  usr/bin/                   the whole PATH of a build: the declared tools, no more
  usr/libexec/               those of them that are covered where an ordinary user builds (guards.py)
  share/portage/config/      make.globals and sets of the installed Portage
  etc/portage/               all that Portage reads of its host side's configuration: the profile, and settings.py's
  var/db/pkg/                an empty package database: nothing of the machine's counts
  var/cache/edb/dep/         the ebuilds' metadata, kept between runs
  home/
  binpkgs/                   PKGDIR of the host side
  python                     by what Portage's helpers are run (bytecode.py)
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from . import guards, removal, strip
from .installation import SYSTEM, Installation, locate
from .walk import walk

LDCONFIG = "#!/bin/sh\n# An install step that calls ldconfig must not rewrite the machine's linker cache.\n"
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# where Portage looks for its own configuration below its prefix: as a Python module, and as part of a system
CONFIGS = ("share/portage/config", "usr/share/portage/config")
PROFILE = "/etc/portage/make.profile"  # of a Gentoo system
FOLDERS = ("var/cache/edb/dep", "home", "binpkgs")
# with less than 18 GB free below PORTAGE_TMPDIR emerge would build one package at a time; emerge of before 2024 has no
# such limit, nor the option
OPTIONS = {"--jobs-tmpdir-require-free-gb": "0"}


def prepare(
    root: str, profile: Mapping[str, str], tools: Collection[str], toolchains: Collection[str], path: str, own: bool
) -> dict[str, Any]:
    """Make or remake the host side at `root`, all but its cache of metadata; runs where emerge will run.

    `profile` are the files of its make.profile, `tools` the names of what a build may use, looked for on the search
    path `path` (empty: this place's own), `toolchains` folders of files to be put beside them. With `own`, `/` is
    the host side if it is a Gentoo system's: then it is left as it is.
    Returns {"emerge", "python": paths, "root": whether commands run as root, "cpus": how many, "gentoo":
    whether `/` is the host side, "options": those of OPTIONS that this emerge has}, or else {"missing": names of
    tools}, {"portage": False}, or {"profile": to where the link to the profile of a `/` that is the host side leads,
    if nothing is there}.
    """
    path = path or os.environ.get("PATH") or SEARCH
    installation = locate(path)
    if installation is None:
        return {"portage": False}
    gentoo = own and _is_gentoo(installation)
    if gentoo and not os.path.isdir(PROFILE):
        return {"profile": os.path.realpath(PROFILE)}
    found = {} if gentoo else {name: shutil.which(name, path=path) for name in tools}
    missing = [name for name, where in found.items() if where is None]
    if missing:
        return {"missing": missing}
    for folder in FOLDERS:
        _make_folder(Path(root), folder)
    if not gentoo:
        _make(Path(root), profile, installation)
        tools_there = {name: where for name, where in found.items() if where}
        _fill_bin(Path(root) / "usr/bin", tools_there, toolchains)
        if "strip" in tools_there:
            strip.cover(Path(root) / "usr/bin/strip")
        if os.geteuid() != 0:
            guards.cover(Path(root), tools_there)
    _settle_cache(os.path.join(root, FOLDERS[0]))
    return {
        "emerge": str(installation.emerge),
        "python": str(installation.python),
        "root": os.geteuid() == 0,
        "cpus": cpus(),
        "gentoo": gentoo,
        "options": _options(installation),
    }


def _options(installation: Installation) -> list[str]:
    """The OPTIONS that emerge knows; its own package lies beside Portage's."""
    known = (installation.package.parent / "_emerge/main.py").read_text(encoding="utf-8", errors="replace")
    return [f"{name}={value}" for name, value in OPTIONS.items() if f'"{name}"' in known]


def _is_gentoo(installation: Installation) -> bool:
    """Whether Portage owns this system: it is part of it, with a profile and a database of packages."""
    return installation.defaults == SYSTEM and os.path.lexists(PROFILE) and bool(_database())


def _database() -> list[str]:
    return os.listdir("/var/db/pkg") if os.path.isdir("/var/db/pkg") else []


def _make(root: Path, profile: Mapping[str, str], installation: Installation) -> None:
    for stale in ("usr", "share", "etc", "var/db", "var/lib"):
        removal.remove_tree(os.fsencode(root / stale))
    removal.remove_tree(os.fsencode(root / guards.NOTES))
    for folder in ("usr/bin", "etc/portage/make.profile", "var/db/pkg"):
        (root / folder).mkdir(parents=True)
    for name in CONFIGS:
        (root / name).mkdir(parents=True)
        shutil.copy(installation.defaults / "make.globals", root / name)
        (root / name / "sets").mkdir()
        for path in (installation.defaults / "sets").iterdir():  # copytree would not say which error it was
            shutil.copy(path, root / name / "sets")
    for name, text in profile.items():
        (root / "etc/portage/make.profile" / name).write_text(text)


def _make_folder(root: Path, name: str) -> None:
    """Make a folder of the host side, or open it to us again; whatever else a build has put in its place is removed."""
    folder = root
    for part in ("", *Path(name).parts):
        folder /= part
        if folder.is_symlink() or not folder.is_dir():
            removal.remove_tree(os.fsencode(folder))
            folder.mkdir()
        elif folder.stat().st_mode & 0o700 != 0o700:
            folder.chmod(0o755)


def _fill_bin(folder: Path, tools: dict[str, str], toolchains: Collection[str]) -> None:
    for name, path in tools.items():
        (folder / name).symlink_to(path)
    if "tar" in tools:
        (folder / "gtar").symlink_to(tools["tar"])  # unpack() dies without it
    ldconfig = folder / "ldconfig"
    ldconfig.write_text(LDCONFIG)
    ldconfig.chmod(0o755)
    for toolchain in toolchains:
        for file in sorted(Path(toolchain).iterdir()):
            target = folder / file.name
            if target.is_symlink() or target.exists():
                target.unlink()
            shutil.copyfile(file, target)
            target.chmod(0o755)  # a wheel does not keep the executable bit


def _settle_cache(cache: str) -> None:
    """Give all cached metadata one constant time.

    Portage accepts an entry whose file has the ebuild's time in whole seconds: an ebuild edited in the second in
    which its entry was written would stay stale. A cache in which a build has put something else begins anew.
    """
    try:
        for entry in walk(os.fsencode(cache)):
            if stat.S_ISREG(entry.status.st_mode):
                os.utime(os.path.join(os.fsencode(cache), entry.name), (1, 1), follow_symlinks=False)
            elif not stat.S_ISDIR(entry.status.st_mode):
                raise FileExistsError
    except OSError:
        removal.remove_tree(os.fsencode(cache))
        os.mkdir(cache)


def cpus() -> int:
    """How many processors this process may keep busy: its affinity, or the quota of its control group if lower."""
    count = len(os.sched_getaffinity(0))
    time, period = quota()
    return max(1, min(count, -(-time // period))) if time > 0 and period > 0 else count


def quota(groups: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """Microseconds of processor time, and of the period they are for; 0 or less without a limit (cgroups(7))."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = " ".join((groups / name).read_text() for name in files).split()
            return int(words[0]), int(words[1])
        except (OSError, ValueError, IndexError):
            continue
    return 0, 0
