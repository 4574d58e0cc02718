from __future__ import annotations

from pathlib import Path

import pytest

from quern import config
from quern.config.settings import Docker
from quern.drivers import containers


def docker(text: str = "") -> Docker:
    return config.load([], dict(line.split("=") for line in text.split()), Path("/")).docker


def test_confined_by_default() -> None:
    assert containers.confinement(docker(), "none") == {
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID"],
        "security_opt": ["no-new-privileges"],
        "network_mode": "none",
    }


def test_limits() -> None:
    options = containers.confinement(docker("QUERN_DOCKER_MEMORY=1g QUERN_DOCKER_CPUS=0.5"), "host")
    assert options["mem_limit"] == options["memswap_limit"] == 1 << 30
    assert (options["nano_cpus"], options["network_mode"]) == (500_000_000, "host")


@pytest.mark.parametrize(
    ("output", "name"),
    [
        ("mknod: /x/dev/null: Operation not permitted", "MKNOD"),
        ("/usr/bin/mknod: cannot: Operation not permitted", "MKNOD"),
        ("install: Failed to set capabilities on file 'ping' (Operation not permitted)", "SETFCAP"),
        ("chroot: cannot change root directory to '/x': Operation not permitted", "SYS_CHROOT"),
        ("mount: /mnt: permission denied.", "SYS_ADMIN"),
    ],
)
def test_capability_for_lack_of_which_a_command_failed(output: str, name: str) -> None:
    text = f"before\n{output}\nafter\n"
    assert f"[docker] capabilities = {name}" in containers.lacking_capability(docker(), text)
    assert containers.lacking_capability(docker(f"QUERN_DOCKER_CAPABILITIES={name}"), text) == ""


@pytest.mark.parametrize(
    "output", ["", "mknod one\ntwo: Operation not permitted", "touch: Permission denied", "amount: permission denied"]
)
def test_other_failures_are_none_of_a_capability(output: str) -> None:
    assert containers.lacking_capability(docker(), output) == ""


def test_name_and_labels() -> None:
    assert containers.name_of("my-overlay:x86/hello+").startswith("quern-my-overlay-x86-hello--")
    assert containers.labels_of(Path("/p/build/hello")) == {"quern.project": "/p/build", "quern.work": "/p/build/hello"}
