"""Whether an image has what [dockergen] names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from quern.errors import BuildError
from quern.steps import start
from quern.strip_rules import rules
from quern.worker.trees import clone
from tests.projects import Said, image_of, run, write

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\nfar:x:100000:5::/:/bin/sh\n"
DATABASE = "var/db/pkg/lab/tool-1/CONTENTS"


class Started:
    """An image with a program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {
            "usr/bin/tool": "#!/usr/bin/sh\n",
            "usr/bin/sh": "\x7fELF",
            "usr/bin/data": "#!/usr/bin/sh\n",
            "usr/bin/text": "echo\n",
            "opt/bin/mine": "#!/usr/bin/sh\n",
            "etc/passwd": PASSWD,
            "etc/group": "root:x:0:\nweb:x:7:app\n",
            "srv/data/x": "",
            DATABASE: "obj /usr/bin/tool 0 0\n",
        }
        self.root = write(folder / "root", files)
        for name, mode in {"tool": 0o755, "sh": 0o755, "data": 0o644, "text": 0o755}.items():
            (self.root / "usr/bin" / name).chmod(mode)
        (self.root / "opt/bin/mine").chmod(0o700)
        (self.root / "bin").symlink_to("usr/bin")

    def said(self, dockergen: str, paths: str = "", closure: str = "warn") -> list[str]:
        """What is said of the configuration."""
        text = f"[strip]\npaths = {paths}\n[build]\nclosure = {closure}\n[dockergen]\n{dockergen}\n"
        write(self.folder, {"lab.conf": text})
        image, said = image_of(self.folder / "lab.conf", self.folder / "work"), Said()
        stripped = self.folder / "stripped"
        shutil.rmtree(stripped, ignore_errors=True)
        clone(str(self.root), str(stripped), rules(image.settings.strip))
        start.check(image, stripped, self.root, run(said))
        return said.lines


@pytest.fixture
def started(tmp_path: Path) -> Started:
    """An image that starts."""
    return Started(tmp_path)


@pytest.mark.parametrize(
    "dockergen",
    [
        "entrypoint = /bin/tool -x",
        "command = tool",
        "entrypoint = tool\ncommand = absent",
        "entrypoint = ./tool\nworkdir = /usr/bin",
        "entrypoint = mine\nenv = PATH=/nowhere:/opt/bin",
        "entrypoint = /data/program\nvolumes = /data",  # mounted when it runs
        "workdir = /run/app",
        "user = 1000:7",
        "user = root",
    ],
)
def test_what_starts(started: Started, dockergen: str) -> None:
    assert started.said(dockergen, closure="error") == []


@pytest.mark.parametrize(
    ("dockergen", "said"),
    [
        ("entrypoint = /bin/absent", "/bin/absent is dockergen.entrypoint, but no package has installed it"),
        (
            "command = absent\nenv = PATH=/usr/bin:/opt",
            "absent is dockergen.command, but no package has installed it in a folder of PATH (/usr/bin:/opt)",
        ),
        (
            "entrypoint = /usr/bin/data",
            "/usr/bin/data is dockergen.entrypoint, but its mode 0644 (owner 0:0) lets nobody execute it who is root",
        ),
        (
            "entrypoint = /opt/bin/mine\nuser = 1000",
            "/opt/bin/mine is dockergen.entrypoint, but its mode 0700 (owner 0:0) lets nobody execute it who is 1000",
        ),
        ("entrypoint = /usr/bin", "/usr/bin is dockergen.entrypoint, but it is no file"),
        (
            "entrypoint = text",
            "text is dockergen.entrypoint, but it begins with neither #! nor the header of an ELF file",
        ),
        ("workdir = /app", "/app is dockergen.workdir, but no package has installed it"),
        ("workdir = /usr/bin/tool", "/usr/bin/tool is dockergen.workdir, but it is no folder"),
        ("user = nobody", "nobody is dockergen.user, but the image's /etc/passwd does not have it"),
        ("user = app:staff", "app:staff is dockergen.user, but the image's /etc/group does not have it"),
    ],
)
def test_what_does_not(started: Started, dockergen: str, said: str) -> None:
    assert started.said(dockergen) == [f"Warning: {said}"]
    with pytest.raises(BuildError) as error:
        started.said(dockergen, closure="error")
    assert str(error.value).splitlines() == [
        "build.closure: [dockergen] of lab names what is not in it:",
        f"  {said}",
    ]


@pytest.mark.parametrize(
    ("dockergen", "paths", "said"),
    [
        (
            "entrypoint = tool",
            "/usr/bin/t*l",
            "tool is dockergen.entrypoint, but strip.paths: /usr/bin/t*l took /usr/bin/tool out (lab/tool-1)",
        ),
        ("user = app", "/etc/passwd", "app is dockergen.user, but strip.paths: /etc/passwd took /etc/passwd out"),
        ("user = 0:web", "/etc/group", "0:web is dockergen.user, but strip.paths: /etc/group took /etc/group out"),
        ("workdir = /srv/data", "/srv", "/srv/data is dockergen.workdir, but strip.paths: /srv took out"),
    ],
)
def test_what_a_rule_took_out(started: Started, dockergen: str, paths: str, said: str) -> None:
    assert started.said(dockergen, paths) == [f"Warning: {said}"]


def test_a_user_by_name(started: Started) -> None:
    """It works in docker, and Kubernetes' runAsNonRoot refuses it; an id may be too high for rootless engines."""
    hint = "is a name, which Kubernetes cannot tell from root (runAsNonRoot); {} is the same user"
    assert started.said("user = app", closure="error") == [f"Hint: dockergen.user = app {hint.format(1000)}"]
    assert started.said("user = app:web") == [f"Hint: dockergen.user = app:web {hint.format('1000:7')}"]
    far = "Hint: dockergen.user = {}: engines of ordinary users have ids up to 65535 only"
    assert started.said("user = far") == [
        f"Hint: dockergen.user = far {hint.format(100000)}",
        far.format("far"),
    ]
    assert started.said("user = 65536") == [far.format("65536")]
