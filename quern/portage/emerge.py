"""How emerge is called: its environment, made from nothing, and its command lines, as data.

Off Gentoo, Portage's EPREFIX would default to the virtual environment: `EPREFIX=` makes ROOT the plain root, and
`PORTAGE_OVERRIDE_EPREFIX` makes a private folder the host side. `PORTAGE_REPOSITORIES` replaces repos.conf on both
sides (make.conf(5), emerge(1); the rest was found by trying).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from quern.portage.configroot import FEATURES

# Ebuilds see one constant day: a declared SOURCE_DATE_EPOCH is the image's, and if packages had it too, each commit of
# a project that declares its own would build everything anew.
PACKAGE_EPOCH = 315532800  # 1980-01-01, the earliest that zip files can say
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"  # on Gentoo
# of the environment, what the host side has to be told as well
SHARED = (
    "DISTDIR", "PORTAGE_TMPDIR", "PORTAGE_LOGDIR", "EMERGE_LOG_DIR", "MAKEOPTS", "SOURCE_DATE_EPOCH", "FETCHCOMMAND",
    "RESUMECOMMAND",
)  # fmt: skip
OPTIONAL = ("BINPKG_GPG_VERIFY_GPG_HOME", "GPG_VERIFY_USER_DROP", "GPG_VERIFY_GROUP_DROP")
# quern fetches; a source that went away while packages are built is an error (make.conf(5) wants these variables in it)
NO_FETCHING = '/bin/false "${URI}" "${DISTDIR}/${FILE}"'

# emerge's line for one package of so many; where it goes is of no use to the reader
PROGRESS = re.compile(r"(>>> (?:Emerging|Installing) .*\(\d+ of \d+\) \S+).*")


@dataclass(frozen=True)
class Surroundings:
    """Everything one call of emerge is surrounded by; all paths absolute.

    `config` is PORTAGE_CONFIGROOT, `host` the host side, `root` the target (ROOT and SYSROOT), `packages` PKGDIR,
    `scratch` PORTAGE_TMPDIR, a folder that no other running emerge may share; `root_user` says whether
    emerge will run as root, `gentoo` whether `/` is the host side, and SYSROOT too, as a Gentoo system's own; `keyring`
    is a GnuPG home with the keys of those who may sign packages.
    """

    config: Path
    host: Path
    root: Path
    packages: Path
    distfiles: Path
    scratch: Path
    logs: Path
    repositories: str
    jobs: int
    binhosts: Sequence[str] = ()
    root_user: bool = False
    gentoo: bool = False
    keyring: Path | None = None

    def environment(self) -> dict[str, str]:
        """The environment of emerge and of the resolver; nothing of the caller's own is in it."""
        variables = {
            "HOME": f"{self.host}/home",
            "TERM": "dumb",
            "NOCOLOR": "true",
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "PATH": f"{self.host}/usr/bin",
            "PORTAGE_OVERRIDE_EPREFIX": str(self.host),
            "EPREFIX": "",
            "PORTAGE_CONFIGROOT": str(self.config),
            "ROOT": str(self.root),
            "SYSROOT": str(self.root),
            "PORTAGE_REPOSITORIES": self.repositories,
            "PKGDIR": str(self.packages),
            "DISTDIR": str(self.distfiles),
            "PORTAGE_TMPDIR": str(self.scratch),
            "PORTAGE_LOGDIR": str(self.logs),
            "EMERGE_LOG_DIR": str(self.logs),
            "MAKEOPTS": f"-j{self.jobs}",
            "SOURCE_DATE_EPOCH": str(PACKAGE_EPOCH),
            "FETCHCOMMAND": NO_FETCHING,
            "RESUMECOMMAND": NO_FETCHING,
        }
        if self.gentoo:
            for name in ("PORTAGE_OVERRIDE_EPREFIX", "EPREFIX"):
                del variables[name]
            cache = f"{self.host}/var/cache/edb/dep"  # its own goes with the container
            variables |= {"PATH": SYSTEM_PATH, "SYSROOT": "/", "PORTAGE_DEPCACHEDIR": cache}
        if self.root_user:
            variables |= {"PORTAGE_USERNAME": "root", "PORTAGE_GRPNAME": "root"}
        if self.binhosts:
            variables["PORTAGE_BINHOST"] = " ".join(self.binhosts)
        if self.keyring:
            variables |= {"BINPKG_GPG_VERIFY_GPG_HOME": str(self.keyring)}
            variables |= {"GPG_VERIFY_USER_DROP": "", "GPG_VERIFY_GROUP_DROP": ""}  # nobody could not read it
        return variables

    @property
    def host_packages(self) -> Path:
        """PKGDIR of the host side."""
        return self.host / "binpkgs"

    def host_settings(self) -> str:
        """What the host side is told of this run: the text of its make.conf, or on Gentoo for the end of it."""
        variables = self.environment()
        settings = {name: variables[name] for name in SHARED}
        settings |= {name: variables[name] for name in OPTIONAL if name in variables}
        settings |= {"PKGDIR": str(self.host_packages), "GENTOO_MIRRORS": "", "BINPKG_COMPRESS": "gzip"}
        settings = {name: re.sub(r'(["$\\])', r"\\\1", value) for name, value in settings.items()}
        settings["FEATURES"] = f"${{FEATURES}} {' '.join(FEATURES)}"
        return "".join(f'{name}="{value}"\n' for name, value in sorted(settings.items()))


class Machine(NamedTuple):
    """The place where emerge runs, as the worker's `prepare` found it: paths there, and how many processors it has.

    `options` are those of emerge that its version has, and that change nothing of what is built.
    """

    emerge: str
    python: str
    root: bool
    cpus: int
    gentoo: bool
    options: Sequence[str]


_QUIET = (
    "--ignore-default-opts",
    "--color=n",
    "--nospinner",
    "--package-moves=n",  # "Performing Global Updates" would rewrite binary packages
    "--quiet-build=y",
)


def build_options() -> list[str]:
    """Options to build a binary package of one package, in a place that has all it is built with."""
    return [*_QUIET, "--oneshot", "--jobs=1", "--nodeps", "--buildpkgonly"]


def host_options() -> list[str]:
    """Options to install binary packages, all that are needed being named, where emerge itself runs."""
    return [*_QUIET, "--oneshot", "--jobs=1", "--nodeps", "--usepkgonly"]


def host_only(around: Surroundings) -> dict[str, str | None]:
    """What to change in the environment of `around` to run emerge with the host side as ROOT; None: unset.

    ROOT is `/` then, and configuration that of the host side, as for what emerge merges there beside another ROOT.
    """
    changed: dict[str, str | None] = dict.fromkeys(("ROOT", "SYSROOT", "PORTAGE_CONFIGROOT"))
    return changed if around.gentoo else {**changed, "EPREFIX": None}


def source_options(jobs: int, binhost: bool) -> list[str]:
    """Options to resolve an image from source, and to fetch what a binhost has of it.

    Neither --update nor --deep: what a stage has already is used as it is.
    """
    reuse = ["--getbinpkg"] if binhost else []
    return [
        *_QUIET,
        "--oneshot",
        f"--jobs={jobs}",
        "--usepkg",
        "--buildpkg",
        "--binpkg-respect-use=y",
        "--binpkg-changed-deps=y",
        *reuse,
    ]
