"""The builder image of the docker driver: which one it is, asked at every run, so nothing heavy is imported here."""

from __future__ import annotations

from quern.config.settings import Docker
from quern.engine import DEFAULT_ADDRESS, tagged_image_id
from quern.errors import ConfigError, DriverError

NO_IMAGE = "build.driver = docker needs `[docker] image`: the name of an image with Portage, to build in"

REMOTE = """\
build.driver = docker needs a daemon on this machine, with a Unix socket; docker.daemon is {address}
Folders of this machine cannot be shown to a container elsewhere. A finished image can be loaded there:
    QUERN_BUILD_DRIVER=raw QUERN_POSTBUILD_ENGINES=docker doit"""

ABSENT = """\
the docker daemon at {address} has no builder image {image}; get it with one of
    docker pull {image}
    docker import STAGE3.tar.xz {image}"""

ASK_TIMEOUT = 5.0  # seconds; a builder is needed, so a busy daemon is waited for


def checked(docker: Docker) -> tuple[str, str]:
    """The address of the daemon and the name of the builder image. Raises ConfigError if they will not do."""
    address = docker.daemon or DEFAULT_ADDRESS
    if docker.image is None:
        raise ConfigError(NO_IMAGE)
    if not address.startswith("unix://"):
        raise ConfigError(REMOTE.format(address=address))
    return address, docker.image


def builder_id(docker: Docker) -> str:
    """The id, sha256:HEX, of the builder image: the same whatever it is called.

    Raises ConfigError if none is configured or the daemon is remote, DriverError if the daemon does not have it, and
    EngineError if there is no daemon.
    """
    address, image = checked(docker)
    found = tagged_image_id(address, image, ASK_TIMEOUT)
    if found is None:
        raise DriverError(ABSENT.format(address=address, image=image))
    return found
