"""The docker driver: commands run in containers of the builder image, one container a command, confined.

    /quern/worker              quern's worker, read-only; nothing of quern need be in the image
    /quern/repositories/NAME   the repositories, read-only; the main one is at /usr/portage as well
    /var/db/repos/NAME         likewise, by their names and aliases
                               (where one package is built, what of them that package is built from)
    the work folder            where it is on this machine, read-only but for what is being made
    distfiles                  likewise, read-only
    /quern/scratch             a named volume to build in, where one is configured; a tmpfs is at /run/quern/tmp

Where a command is shown folders under other names (Reach.shown), it finds these, and nothing of the work folder where
that is on this machine.

A container has no network, few capabilities, and no way to more (`confinement`).
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from quern.config.settings import Storage
from quern.drivers import containers, storage
from quern.drivers.answers import answer_of, streamed_answer_of
from quern.drivers.base import Command, Reach
from quern.drivers.builder import builder_id
from quern.drivers.commands import Commands, Stopped
from quern.drivers.confinement import WORKER, no_network
from quern.drivers.containers import Container
from quern.drivers.processes import terminable
from quern.drivers.raw import RawDriver
from quern.drivers.stream import STDOUT, Lines
from quern.errors import DriverError, EngineUnavailable, naming
from quern.portage.repository import main_repository
from quern.terminal import harmless, harmless_bytes
from quern.worker.supervise import NO_ROOM

if TYPE_CHECKING:
    from quern.portage.setup import Setup
    from quern.project import Image

REPOSITORIES = "/quern/repositories"
WORKER_INSIDE = "/quern/worker"
OLD_TREE = "/usr/portage"  # where ebuilds and profiles of old look for the tree
SYSTEM_TREES = "/var/db/repos"  # to where a stage's make.profile points
# Verbs that change nothing, and that questions call without the work folder's lock: a build may be running, and what
# the last one has left in the daemon is kept for its user.
READING = ("described", "sizes")
_numbers = count(1)


@dataclass(frozen=True)
class DockerDriver:
    """Runs the commands of one image's steps; `say` takes a line for the user."""

    setup: Setup
    say: Callable[[str], None]
    confines: bool = True
    throwaway: bool = True
    streams: bool = True
    _running: Commands[Container] = field(default_factory=lambda: Commands(Container.stop), compare=False)

    @property
    def offline(self) -> str:
        """See Driver.offline."""
        return "[docker] network" if self.image.settings.docker.network is None else ""

    @property
    def image(self) -> Image:
        """The image that is built."""
        return self.setup.image

    def run(self, command: Command, line: Callable[[str], None]) -> int:
        """See Driver.run."""
        assert self._ready
        request: dict[str, object] = {"argv": command.argv, "environment": dict(command.environment), "merge": True}
        request |= {"folder": str(command.folder), **self._scratch(command.name)}
        # of single packages: Portage has nobody but root and its group read them
        if command.logs and (there := _written_to(command.reach, command.logs)):
            request["give"] = [there, os.getuid(), os.getgid()]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("ab", buffering=0) as log, terminable():  # it is what is left when we are killed
            with naming(command.log):
                log.write(os.fsencode(f"$ {shlex.join(command.argv)}\n"))
            name = self._name_of(command)
            self.say(f"Creating container from {self.image.settings.docker.image}, name={name}")
            with self._container(self._mounts(command.reach), name=name) as container:
                self.say("Starting container")
                container.start(request)
                self.say("Waiting for container")
                with self._running.listed(container):
                    self._copy(container, log, line)
                if self._running.stopped:
                    raise Stopped
                status = container.wait(f"; log: {command.log}")
                if status != 0 and self.image.settings.build.keep_failed:
                    container.keep()
                    self.say(f"Container {name} is kept until the next build; look at it with: docker diff, cp")
                else:
                    self.say("Removing container")
        if status == NO_ROOM and self._storage != Storage():
            raise DriverError(
                f"docker.workdir_storage = {storage.text(self._storage)} is full: name a larger one, or folder"
                f"; log: {command.log}"
            )
        return status

    def stop(self) -> None:
        """See Driver.stop."""
        self._running.stop()

    def shell(self, command: Command, line: Callable[[str], None]) -> int:
        """See Driver.shell."""
        mounts, argv = self._mounts(command.reach), command.argv if command.terminal else ()
        left = containers.as_left(self.image.settings.docker, self.image.work, command.name, self._builder)
        with terminable(), left as image, self._container(mounts, image, argv) as container:
            if command.terminal:
                container.converse()
                return container.wait("")
            request = {"argv": command.argv, "environment": dict(command.environment), "merge": True}
            with closing(Lines(line)) as lines:
                container.start({**request, "folder": str(command.folder)})
                for _, piece in container.output():
                    lines.write(piece)
            return container.wait("")

    def _copy(self, container: Container, log: IO[bytes], line: Callable[[str], None]) -> None:
        def show(text: str) -> None:
            text = harmless(text)
            if text:
                self.say(f"  logs: {text}")
            line(text)

        with closing(Lines(show)) as lines:
            for _, piece in container.output():
                with naming(Path(log.name)):
                    log.write(harmless_bytes(piece))
                lines.write(piece)

    def call(
        self, verb: str, *, environment: Mapping[str, str] | None = None, reach: Reach | None = None, **params: object
    ) -> dict[str, Any]:
        """See Driver.call.

        Verbs with a reach are about the place where emerge runs. The others are about trees of this machine, which
        root may read here; for an ordinary user they run in a container, because there are files of root in there.
        """
        if reach is None and os.geteuid() == 0:
            return RawDriver().call(verb, environment=environment, reach=reach, **params)
        output = list[bytes]()
        work = containers.bind(self.image.work, self.image.work, read_only=verb in READING)
        mounts = self._mounts(reach) if reach else [work]
        status, noise = self._attend(verb, environment, mounts, output.append, params)
        return answer_of(verb, status, b"".join(output), noise)

    def stream(self, verb: str, sink: Callable[[bytes], object], **params: object) -> dict[str, Any]:
        """See Driver.stream; where it runs, as in `call`."""
        if os.geteuid() == 0:
            return RawDriver().stream(verb, sink, **params)
        mounts = [containers.bind(self.image.work, self.image.work, read_only=True)]
        return streamed_answer_of(verb, *self._attend(verb, None, mounts, sink, params))

    def _attend(
        self,
        verb: str,
        environment: Mapping[str, str] | None,
        mounts: list[Any],
        sink: Callable[[bytes], object],
        params: Mapping[str, object],
    ) -> tuple[int, bytes]:
        """Run a verb in a container, its output to `sink`; returns its exit status and what it wrote to stderr."""
        assert verb in READING or self._ready
        noise = b""
        name = f"{self._name}-{verb}-{next(_numbers)}"  # several threads may run the same
        with terminable(), self._container(mounts, name=name) as container:
            container.start({"verb": verb, "environment": environment, "input": json.dumps(params)})
            for stream, piece in container.output():
                if stream == STDOUT:
                    sink(piece)
                else:
                    noise += piece
            return container.wait(""), noise

    def hint(self, output: str) -> str:
        """See Driver.hint."""
        docker = self.image.settings.docker
        room = storage.lacking_room(self._storage, output)
        return containers.lacking_capability(docker, output) or room or no_network(output, self.offline)

    def scratch(self, folder: Path, name: str = "") -> str:
        """See Driver.scratch."""
        return str(self._scratch(name).get("scratch", folder))

    def clear(self) -> None:
        """See Driver.clear."""
        docker = self.image.settings.docker
        try:
            containers.sweep(docker, self.image.work)
            storage.remove_volumes(docker, self.image.work)
        except EngineUnavailable as error:
            self.say(f"{error}; what there is of {self.image.name} in it stays")

    def inside(self, path: Path) -> str:
        """See Driver.inside."""
        for outside, inside in [(WORKER, WORKER_INSIDE), *self._places]:
            if path == outside or outside in path.parents:
                return os.path.normpath(os.path.join(inside, path.relative_to(outside)))
        return str(path)

    def outside(self, path: str) -> str:
        """See Driver.outside."""
        for outside, inside in self._places:
            if path == inside or path.startswith(f"{inside}/"):
                return str(outside) + path[len(inside) :]
        return path

    @cached_property
    def _places(self) -> list[tuple[Path, str]]:
        """The folders that are elsewhere in a container: (here, there)."""
        repositories = self.setup.repositories()
        return [(each.location, f"{REPOSITORIES}/{each.name}") for each in repositories]

    def _mounts(self, reach: Reach) -> list[Any]:
        """What emerge sees of this machine."""
        bind, work, distfiles = containers.bind, self.image.work, self.image.distfiles
        repositories = self.setup.repositories()
        if reach.recipe:
            repositories = tuple(each._replace(location=reach.recipe / each.name) for each in repositories)
        trees = [(main_repository(repositories).location, OLD_TREE)]
        trees += [(each.location, f"{SYSTEM_TREES}/{name}") for each in repositories for name in each.names]
        if not reach.shown:
            trees = [*self._places, *trees, (work, str(work))]
        if distfiles not in reach.writable:  # links in there may name it
            trees.append((distfiles, str(distfiles)))
        mounts = [bind(here, there, read_only=True) for here, there in trees if here.is_dir()]
        seen = [work, distfiles, *(here for here, _ in self._places)]
        others = [path for path in dict.fromkeys(reach.readable) if not any(map(path.is_relative_to, seen))]
        mounts += [bind(path, path, read_only=True) for path in others if path.is_dir()]
        shown = [each for each in reach.shown if not self._storage.size or each.there != storage.IN_MEMORY]
        mounts += [bind(here, there, read_only=not own) for here, there, own in shown]
        return [*mounts, *(bind(folder, folder) for folder in reach.writable)]

    @cached_property
    def _builder(self) -> str:
        """The builder image's id: a name may be given to another image at any time."""
        return builder_id(self.image.settings.docker)

    @property
    def _storage(self) -> Storage:
        return self.image.settings.docker.workdir_storage

    def _scratch(self, name: str) -> dict[str, object]:
        """What the worker is told of the room for the command `name`, where that is not in the work folder."""
        if self._storage == Storage():
            return {}
        return {
            "scratch": storage.folder_of(self._storage, self.image.work, name),
            "keep": self.image.settings.build.keep_failed,
        }

    def _name_of(self, command: Command) -> str:
        """The name of the command's container."""
        return f"{self._name}-{command.name}" if command.name else self._name

    @property
    def _name(self) -> str:
        return containers.name_of(self.setup.profile)

    @contextmanager
    def _container(
        self, mounts: list[Any], image: str = "", shell: Sequence[str] = (), name: str = ""
    ) -> Iterator[Container]:
        docker = self.image.settings.docker
        labels = containers.labels_of(self.image.work)
        options = {**containers.confinement(docker, docker.network or "none"), **storage.options(self._storage)}
        mounts = [containers.bind(WORKER, WORKER_INSIDE, read_only=True), *storage.mounts(self._storage), *mounts]
        image, name = image or self._builder, name or self._name
        with Container.created(docker, image, name, labels, mounts, options, shell) as container:
            yield container

    @cached_property
    def _ready(self) -> bool:
        """Before the first container: remove those that a killed quern, or a failure of this image, has left."""
        (self.image.work / "host").mkdir(parents=True, exist_ok=True)
        self.image.work.chmod(0o700)  # a setuid file in a root is no way to become root here
        self.say(f"Connecting to docker at {containers.address_of(self.image.settings.docker)}")
        containers.sweep(self.image.settings.docker, self.image.work)
        storage.make_volume(self.image.settings.docker, self.image.work)
        return True


def _written_to(reach: Reach, folder: Path) -> str:
    """Where a command finds a folder that it may write to; empty if it may not."""
    found = [each.there for each in reach.shown if each.here == folder and each.writable]
    return str(folder) if folder in reach.writable else "".join(found)
