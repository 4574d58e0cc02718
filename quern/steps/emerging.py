"""One step's use of emerge: the folders around it, the resolver, and the runs that fetch.

STAGING/
  view/       PKGDIR
  image/      ROOT and SYSROOT
  scratch/    the configuration root of this run, PORTAGE_TMPDIR, package logs
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import monotonic

from quern.drivers.base import Command, Reach
from quern.drivers.confinement import WORKER
from quern.errors import BuildError, DriverError
from quern.portage import configroot, emerge, installation, refusals
from quern.portage.emerge import Machine, Surroundings
from quern.portage.failures_ebuilds import left_out
from quern.portage.package_index import INDEX
from quern.portage.plan import Plan, from_answer
from quern.portage.repository import Repository, repos_conf
from quern.portage.setup import Setup
from quern.portage.tally import Tally
from quern.portage.tools import Tool, missing_message, not_usable
from quern.steps import capsule, signed
from quern.steps.base import Run, discard
from quern.steps.names import Names, names_of
from quern.steps.work import check_folders, check_owner, check_sources, take_over
from quern.terminal import harmless

HOST = "host"
OWN = "own"  # in staging: the places of single packages
TOGETHER = "one"  # in there: the place of all of them, one after the other
RECIPE = "recipe"  # in the inputs of one: the repositories, as its build sees them


@dataclass(frozen=True)
class Build:
    """Emerge around `staging`, for the image of `setup`, with the configuration root `config`.

    `packages` is PKGDIR, by default the view in staging; `own` the folder that has PKGDIR, ROOT, PORTAGE_TMPDIR and a
    host side for one package alone, `name` what its commands are called, and `tools` those of the machine that it may
    use (see `package_build`). With `renames` folders have constant names where commands run, if these are confined
    (see `names`).
    """

    setup: Setup
    run: Run
    staging: Path
    config: Path
    log: Path
    packages: Path | None = None
    own: Path | None = None
    name: str = ""
    renames: bool = False
    tools: tuple[Tool, ...] | None = None

    @property
    def view(self) -> Path:
        """PKGDIR."""
        return self.own / "made" if self.own else self.packages or self.staging / "view"

    @property
    def root(self) -> Path:
        """ROOT: where packages are merged."""
        return (self.own or self.staging) / "image"

    @property
    def scratch(self) -> Path:
        """What does not outlive the step."""
        return self.staging / "scratch"

    @property
    def tmp(self) -> Path:
        """PORTAGE_TMPDIR, where the driver has no other."""
        return (self.own or self.scratch) / "tmp"

    @property
    def host(self) -> Path:
        """Portage's host side."""
        return self.own / HOST if self.own else self.setup.image.work / HOST

    @property
    def recipe(self) -> Path | None:
        """The folder of repositories for one package alone, by name; None where the real ones are seen."""
        return self.inputs / RECIPE if self.own else None

    @property
    def inputs(self) -> Path:
        """What the build of one package reads, and cannot write to."""
        return self.scratch / self.name

    @property
    def keys(self) -> Path | None:
        """The keys of those who sign a binhost's packages."""
        options = self.setup.image.settings.portage
        return options.binhost_keys if options.binhost else None

    @property
    def keyring(self) -> Path:
        """The GnuPG home with these keys."""
        return self.scratch / "gnupg"

    @property
    def processors(self) -> int:
        """How many processors builds may keep busy, all together."""
        return self.setup.image.settings.emerge.jobs or self.machine.cpus

    @cached_property
    def tally(self) -> Tally:
        """What emerge has done so far, and what that took."""
        return Tally(binary=self.packages is not None)

    @cached_property
    def machine(self) -> Machine:
        """Where emerge runs; the first look remakes the host side there. Raises DriverError if something is missing."""
        setup, tools = self.setup, self.setup.tools() if self.tools is None else self.tools
        answer = self.run.driver.call(
            "prepare",
            reach=self.reach(self.host),
            root=str(self.inside(self.host)),
            profile=configroot.profile_files(setup.profile),
            tools=[tool.name for tool in tools],
            toolchains=[str(self.inside(folder)) for folder in setup.toolchains()],
            path=setup.path,
            own=self.run.driver.throwaway and not setup.toolchains(),  # those build against a root of their own
        )
        if not answer.get("portage", True):
            raise DriverError(installation.MISSING)
        if profile := answer.get("profile"):
            raise DriverError(installation.NO_PROFILE.format(image=setup.image.settings.docker.image, profile=profile))
        if missing := answer.get("missing"):
            raise DriverError(missing_message([tool for tool in tools if tool.name in missing]))
        return Machine(**answer)

    @cached_property
    def off_limits(self) -> list[Path]:
        """The programs of this machine that the repositories declare, but not for this package; see `tools`."""
        if self.tools is None or self.setup.in_container:
            return []
        runs = [Path(sys.executable)]  # quern, and Portage
        if found := installation.find(self.setup.path):
            runs.append(found.python)
        return not_usable(self.setup.tools(), self.tools, self.setup.path, runs)

    @cached_property
    def names(self) -> Names:
        """What the folders are called where commands run."""
        return names_of(self) if self.renames and self.run.driver.confines else Names()

    def inside(self, path: Path) -> Path:
        """What a file or folder is called where commands run."""
        return Path(self.names.inside(path) if self.names.folders else self.run.driver.inside(path))

    @property
    def surroundings(self) -> Surroundings:
        """Everything around a call of emerge."""
        return self.with_jobs(self.processors)

    def with_jobs(self, jobs: int) -> Surroundings:
        """Everything around a call of emerge that may keep so many processes busy (make -j)."""
        image = self.setup.image
        return Surroundings(
            config=self.inside(self.scratch / "config"),
            host=self.inside(self.host),
            root=self.inside(self.root),
            packages=self.inside(self.view),
            distfiles=self.inside(image.distfiles),
            scratch=self._temporary,
            logs=self.inside(self.log.with_suffix("")),
            repositories=repos_conf(self._repositories_inside()),
            jobs=jobs,
            binhosts=[f"file://{folder}" for folder in self.binhosts if (folder / INDEX).exists()],
            root_user=self.machine.root,
            gentoo=self.machine.gentoo,
            keyring=self.inside(self.keyring) if self.keys and not self.own else None,
        )

    @property
    def _temporary(self) -> Path:
        """PORTAGE_TMPDIR, where commands run."""
        room = self.run.driver.scratch(self.tmp, self.name)
        return self.inside(self.tmp) if room == str(self.tmp) else Path(room)

    @property
    def binhosts(self) -> list[Path]:
        """The folders in which what was fetched from each binhost is, its index first."""
        number = len(self.setup.image.settings.portage.binhost)
        return [self.scratch / "binhost" / str(index) for index in range(number)]

    def environment(self, binhosts: bool) -> dict[str, str]:
        """The environment of emerge; with the `binhosts`, or without."""
        environment = self.surroundings.environment()
        if not binhosts:
            environment.pop("PORTAGE_BINHOST", None)
        return environment

    def reach(self, *writable: Path) -> Reach:
        """What a command reaches that may write to these folders only."""
        image, paths = self.setup.image, self.setup.path.split(os.pathsep)
        readable = [image.distfiles, *(Path(path) for path in paths if os.path.isabs(path))]  # links there may name it
        if not self.names.folders:
            readable += [image.work, *map(self.location, self.setup.repositories())]
        return self.names.reach(writable, readable)._replace(recipe=self.recipe)

    def location(self, repository: Repository) -> Path:
        """The folder of what commands see of a repository."""
        return self.recipe / repository.name if self.recipe else repository.location

    def seen(self, repository: Repository) -> list[str]:
        """What paths of it may begin with in what commands print, besides its own folder."""
        folder = self.location(repository)
        return [str(folder), self.run.driver.inside(folder)]

    def _repositories_inside(self) -> list[Repository]:
        return [each._replace(location=self.inside(self.location(each))) for each in self.setup.repositories()]

    def prepare(self) -> None:
        """Make the folders, the host side, and this run's configuration root. Raises BuildError."""
        check_sources(self.setup.image.distfiles)
        check_owner(self.setup.image.distfiles, "[portage] distfiles")
        logs = self.log.with_suffix("")
        self.log.unlink(missing_ok=True)
        discard(logs, self.log.parent, self.run)
        for folder in (self.staging, self.host, logs):
            folder.mkdir(parents=True, exist_ok=True)
            take_over(folder)
        for folder in (self.view, self.root, self.scratch / "tmp", self.setup.image.distfiles):
            folder.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)  # the image's root folder does not depend on the caller's umask
        shutil.copytree(self.config / "etc", self.scratch / "config/etc")
        (self.scratch / "host.conf").write_text(self.surroundings.host_settings())
        signed.prepare(self)

    def clear(self) -> None:
        """Remove what does not outlive the step: all but the output, which is the view, or else ROOT."""
        discard(self.scratch, self.staging, self.run)
        discard(self.staging / OWN, self.staging, self.run)
        if self.packages is None:
            discard(self.root, self.staging, self.run)

    def forsake(self) -> None:
        """Leave nothing for inspection: nothing was built."""
        for path in self.staging.iterdir():
            discard(path, self.staging, self.run)

    def plan(self, options: Sequence[str], targets: Sequence[str]) -> Plan:
        """What `emerge OPTIONS TARGETS` would do. From source: binary packages are asked for by key, not by name.

        Raises BuildError with the reason if Portage finds no solution, or nothing to do.
        """
        arguments = [*options, *targets]
        if self.packages is None:
            arguments = [word for word in arguments if word not in ("--usepkg", "--buildpkg", "--getbinpkg")]
        around = replace(self.surroundings, scratch=self.inside(self.tmp), binhosts=())  # the volume is for builds
        answer = self.run.driver.call(
            "resolve",
            environment=around.environment(),
            # in the rest of staging quern itself is still at work; the root says to Portage whose it is
            reach=self.reach(self.host, self.root, self.scratch / "tmp"),
            arguments=arguments,
            settings=around.host_settings(),
        )
        if not answer["success"]:
            output = harmless(answer["output"])
            with self.log.open("a", encoding="utf-8") as log:
                log.write(output)
            self.forsake()
            raise capsule.error_of(self, output)
        passed_over = left_out(capsule.as_known(self, answer["output"]))
        plan = replace(
            from_answer(answer, self.run.driver.outside),
            passed_over=tuple(passed_over),
            first=self.setup.first(),
            system=self.machine.gentoo,
        )
        if not plan.packages:
            raise BuildError(f"{self.setup.profile}: emerge {' '.join(targets)} has nothing to install")
        return plan

    def emerge(self, options: Sequence[str], targets: Sequence[str]) -> None:
        """Run emerge, passing on its progress. Raises BuildError if it fails."""
        fetching = "--fetchonly" in options
        self.tally.begin(fetching)
        words = ["emerge", *(["--fetchonly"] if fetching else []), *targets]
        self.run.say(f'Calling PORTAGE_CONFIGROOT="{self.config}" {" ".join(words)}')
        lines: list[str] = []

        def line(text: str) -> None:
            lines.append(text)
            self.tally.line(text, monotonic())
            if (progress := emerge.PROGRESS.fullmatch(text)) and not self.run.driver.streams:
                self.run.say(progress[1])

        worker = [self.machine.python, "-I", "-B", self.run.driver.inside(WORKER)]
        argv = [*worker, "emerge", str(self.scratch / "host.conf")]
        argv += [self.machine.python, "-B", self.machine.emerge, *self.machine.options, *options]
        argv += targets
        binhosts = "--getbinpkg" in options
        environment = self.environment(binhosts)
        packages = [self.view] if binhosts else []
        logs = self.log.with_suffix("")
        reach = self.reach(*packages, self.root, self.scratch / "tmp", self.host, logs)
        command = Command(argv, environment, self.scratch, self.log, reach, logs)
        status = self.run.driver.run(command, line)
        check_folders([self.view, self.root, self.scratch, self.scratch / "tmp"])
        if refused := self.refused():
            raise BuildError(refusals.MESSAGE.format(cases="\n  ".join(refused.values()), log=self.log))
        if status != 0:
            raise capsule.error_of(self, "\n".join(lines), fetching)

    def refused(self) -> dict[str, str]:
        """What packages (cpvs) wanted that an ordinary user cannot give them."""
        return refusals.read(self.host)

    def check_target(self) -> None:
        """Refuse what the starter's toolchain cannot build, before anything is built."""
        if self.setup.toolchains() and platform.machine() != "x86_64":
            raise BuildError(f"the starter repository builds on x86_64 only; this machine is {platform.machine()}")
