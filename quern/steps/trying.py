"""Where tests of a finished image run: as the image's own program would, in the image and nothing else.

In a container of it, where the daemon has it; else in namespaces, in a copy of the tarball. Each test has its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from quern.drivers import containers, seccomp
from quern.drivers.confinement import WORKER, worker
from quern.drivers.limit import limited, run_for
from quern.engine import DEFAULT_ADDRESS, tagged_image_id
from quern.errors import DriverError, EngineError
from quern.portage.tracebacks import condensed
from quern.project import Image
from quern.steps import receipt as receipts
from quern.steps.copies import unpacked
from quern.worker import IMPOSSIBLE
from quern.worker.guard import DONE, ask
from quern.worker.inside import NOBODY
from quern.worker.namespaces import KEPT

FOLDER = "/.quern-tests"  # where the tests are in the image
# what docker gives, which nobody set
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": "localhost"}
ASK_TIMEOUT = 2.0  # seconds

NOWHERE = """\
{image} cannot be tested: no docker daemon here has it, and this machine allows no namespaces ({reason})"""


class Trial(Protocol):
    """Runs programs of a folder in an image."""

    def run(self, name: str, write: Callable[[bytes], None]) -> int | None:
        """Run one by its name; what it prints goes to `write`.

        Returns its exit status, 128 + N for signal N, None if its time was up. Nothing of it goes on afterwards.
        """
        ...


class InContainer(NamedTuple):
    """In containers of the loaded image. `tests` is the folder."""

    image: Image
    image_id: str
    tests: Path

    def __str__(self) -> str:
        return f"containers of {self.image_id}"

    def run(self, name: str, write: Callable[[bytes], None]) -> int | None:
        """See Trial.run."""
        docker, test = self.image.settings.docker, self.image.settings.tests
        address = containers.address_of(docker).removeprefix("unix://")
        program = {
            "entrypoint": [f"{FOLDER}/{name}"],
            "hostname": ENVIRONMENT["HOSTNAME"],
            "use_config_proxy": False,
        }
        options = {
            "cap_drop": ["ALL"],
            "cap_add": list(KEPT),
            "security_opt": ["no-new-privileges"],
            "network_mode": (docker.network or "bridge") if test.network else "none",
        }
        with (
            self._as_its_user(),
            containers.Container.created(
                docker,
                self.image_id,
                containers.name_of(f"test-{self.image.name}"),
                containers.labels_of(self.image.work),
                [containers.bind(self.tests, FOLDER, read_only=True)],
                options,
                program=program,
            ) as container,
        ):
            kill = f"/containers/{container.identifier}/kill"
            with _guarded(address, container), limited(test.timeout, lambda: ask(address, "POST", kill)) as late:
                container.start(None)
                for _, piece in container.output():
                    write(piece)
                status = container.wait("")
        return None if late.is_set() else status

    @contextmanager
    def _as_its_user(self) -> Iterator[None]:
        """While inside, what docker says of a user that the image does not have is said in our words."""
        try:
            yield
        except DriverError as error:
            if "unable to find" in str(error) and self.image.settings.dockergen.user:
                raise DriverError(NOBODY.format(user=self.image.settings.dockergen.user)) from None
            raise


@contextmanager
def _guarded(address: str, container: containers.Container) -> Iterator[None]:
    """While inside, the end of quern is that of the container."""
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(WORKER), "guard", address, container.identifier],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={},
    )
    ended = False
    try:
        yield
        ended = True
    finally:
        guard.communicate(DONE if ended else b"")


class InNamespaces(NamedTuple):
    """In copies of the tarball, at `root`."""

    image: Image
    root: Path
    tests: Path

    def __str__(self) -> str:
        return "namespaces, without docker"

    def run(self, name: str, write: Callable[[bytes], None]) -> int | None:
        """See Trial.run."""
        with unpacked(self.image, self.root):
            return run_for(self.image.settings.tests.timeout, self._command(f"{FOLDER}/{name}"), write)

    def check(self) -> None:
        """Raises DriverError if nothing can be run here."""
        said: list[bytes] = []
        with unpacked(self.image, self.root):
            status = run_for(0, self._command(), said.append)
        reason = b"".join(said).decode(errors="replace").strip()
        if status == IMPOSSIBLE:
            raise DriverError(NOWHERE.format(image=self.image.name, reason=reason))
        if status:
            raise DriverError(condensed(reason))

    def _command(self, *argv: str) -> list[str]:
        network = self.image.settings.tests.network
        return inside(self.image, self.root, argv, network=network, shown=self.tests)


def inside(
    image: Image,
    root: Path,
    argv: Sequence[str],
    *,
    network: bool,
    shown: Path | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """The command line that runs `argv` in the copy of the image at `root` as a container of it would.

    The folder `shown` is at FOLDER in there; `environment` is added to the image's.
    """
    said = image.settings.dockergen
    request = {
        "root": str(root.resolve()),
        "shown": str(shown or ""),
        "at": FOLDER if shown else "",
        "network": network,
        "user": said.user or "",
        "environment": {**ENVIRONMENT, **dict(said.env), **environment},
        "folders": said.volumes,
        "folder": said.workdir or "/",
        "filter": seccomp.encoded(),
    }
    return worker("inside", json.dumps(request), *argv)


def trial_of(image: Image, tests: Path, root: Path) -> InContainer | InNamespaces:
    """Where the programs in `tests` can be run in `image`; a copy of it may be made at `root`. Raises DriverError."""
    image_id = _loaded(image)
    if image_id and containers.swept(image.settings.docker, image.work):
        return InContainer(image, image_id, tests)
    trial = InNamespaces(image, root, tests)
    trial.check()
    return trial


def _loaded(image: Image) -> str | None:
    """The id by which a daemon of this machine has what the image step made; None if there is none, or it has not.

    One elsewhere cannot be shown the tests, and would not end them with quern.
    """
    settings, made = image.settings, receipts.read(receipts.Place(image.work, "image").receipt)
    address = settings.docker.daemon or DEFAULT_ADDRESS
    if made is None or settings.postbuild.engines == "none" or not address.startswith("unix://"):
        return None
    try:
        found = tagged_image_id(address, made.info["reference"], ASK_TIMEOUT)
    except EngineError:
        return None
    return found if found in made.info["ids"] else None
