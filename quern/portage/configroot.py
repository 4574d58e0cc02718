"""The text of Portage's configuration: what `portage:NAME` writes, the same for the same profile and options."""

from __future__ import annotations

from pathlib import Path

from quern.portage.repository import OVERLAY_EAPI, OVERLAY_FORMATS

FEATURES = (
    "binpkg-multi-instance",
    "parallel-install",
    # the sandboxes want users, namespaces or a preload library that this machine need not have; the place where
    # emerge runs confines it
    "-sandbox",
    "-usersandbox",
    "-userpriv",
    "-userfetch",
    "-usersync",
    "-pid-sandbox",
    "-network-sandbox",
    "-ipc-sandbox",
    "-mount-sandbox",
    "-cgroup",
    "-merge-sync",  # quern syncs once, when a step is done
    "-merge-wait",
    "-news",
    "-preserve-libs",
    "-qa-unresolved-soname-deps",
    "-observability",  # writes to /run
    # profiles could have Manifests not checked, or written anew
    "strict",
    "-digest",
    "-binpkg-ignore-signature",
)

MAKE_CONF = """\
# Written by quern; what the image is comes from its profile, what a run is from the environment.
FEATURES="{features}"
# new configuration files replace old ones: nobody is there to merge ._cfg files
CONFIG_PROTECT="/etc"
CONFIG_PROTECT_MASK="/etc"
EMERGE_WARNING_DELAY="0"
CLEAN_DELAY="0"
# sources come from the distfiles folder, the mirrors of mirror:// addresses, and upstream
GENTOO_MIRRORS=""
PORTAGE_ELOG_SYSTEM="save_summary:log,warn,error,qa"
# one compressor that every machine has
BINPKG_COMPRESS="gzip"
BINPKG_COMPRESS_FLAGS="-1"
"""

OVERLAY_LAYOUT = """\
masters = {masters}
profile-formats = {formats}
profile_eapi_when_unspecified = {eapi}
thin-manifests = true
sign-manifests = false
"""


def make_conf() -> str:
    """The text of make.conf (make.conf(5))."""
    return MAKE_CONF.format(features=" ".join(FEATURES))


def overlay_layout(masters: list[str]) -> str:
    """The layout.conf (portage(5)) of the overlay around a project's profiles.

    `masters` are the names of the repositories that it builds upon.
    """
    formats = " ".join(OVERLAY_FORMATS)
    return OVERLAY_LAYOUT.format(masters=" ".join(masters), formats=formats, eapi=OVERLAY_EAPI)


def profile_files(parent: str) -> dict[str, str]:
    """A profile whose only content is its parent, a `repository:path` (portage-2 profile format)."""
    return {"eapi": "8\n", "parent": f"{parent}\n"}


def write_profile(folder: Path, parent: str) -> None:
    """Make `folder` a profile whose only content is its parent."""
    for name, text in profile_files(parent).items():
        (folder / name).write_text(text)
