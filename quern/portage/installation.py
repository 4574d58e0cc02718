"""The Portage of this machine."""

from __future__ import annotations

from quern.errors import DriverError
from quern.worker.installation import Installation, locate

MISSING = """\
Portage is not installed: neither an emerge on PATH nor the Python package 'portage'.
On a Gentoo host it is part of the system; elsewhere: pip install 'quern-builder[portage]'"""


def find(path: str) -> Installation:
    """The Portage to use: the first emerge of the search path `path`, else the one beside this Python.

    Raises DriverError if there is none.
    """
    installation = locate(path)
    if installation is None:
        raise DriverError(MISSING)
    return installation
