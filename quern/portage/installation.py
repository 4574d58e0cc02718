"""The Portage of this machine."""

from __future__ import annotations

from quern.errors import DriverError
from quern.worker.installation import Installation, locate

MISSING = """\
Portage is not installed: neither an emerge on PATH nor the Python package 'portage'.
On a Gentoo host it is part of the system; elsewhere: pip install 'quern-builder[portage]'"""

NO_PROFILE = """\
docker.image = {image}: its profile is /etc/portage/make.profile -> {profile}, and no repository has that folder
Containers see repositories at /var/db/repos/NAME: name the tree with this profile in [portage] repositories, and if
it has another name, give it that alias in its [repository:...] section (aliases = gentoo)"""


def find(path: str) -> Installation:
    """The Portage to use: the first emerge of the search path `path`, else the one beside this Python.

    Raises DriverError if there is none.
    """
    installation = locate(path)
    if installation is None:
        raise DriverError(MISSING)
    return installation
