"""A project with two states of its inputs, A and B, and its outputs as they are before each step from A to B."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from quern.project import Image
from quern.steps.base import Step, key_of
from quern.steps.chain import STEPS, steps_of
from tests.building import CHECKOUT, Project
from tests.crashes import hook
from tests.merging import phases
from tests.projects import overlay_image, write
from tests.test_emerging import TREE, ebuild

NAMES = tuple(step.name for step in STEPS)
MADE = ("build", "images", "lab.lock", ".doit.db")  # what runs write in the project's folder
CONF = """\
[portage]
repositories = ./tree
[build]
lock = lab.lock
source_date_epoch = 1700000000
[postbuild]
engines = none
"""
PATIENCE = 600  # seconds that a run may take, which takes ten
CHANGED = "tree/lab/tool/tool-1.ebuild"


def package(needs: str = "", line: str = "", body: str = ":") -> str:
    """An ebuild; `line` is what it adds to a file of lab/config when it has been merged."""
    appends = phases(postinst=f'echo {line} >> "${{EROOT}}/etc/lab.conf" || die') if line else ""
    return ebuild(f'RDEPEND="{needs}"\n{appends}', body)


SIX = {
    "profiles/image/packages": "lab/config\nlab/tool\nlab/top\n",
    "lab/config/config-1.ebuild": package(body="insinto /etc; echo config > lab.conf; doins lab.conf"),
    "lab/base/base-1.ebuild": package(),
    "lab/leaf/leaf-1.ebuild": package("lab/base", "leaf"),
    "lab/other/other-1.ebuild": package(),
    "lab/tool/tool-1.ebuild": package("lab/config lab/base", "tool"),
    "lab/top/top-1.ebuild": package("lab/config lab/leaf lab/other", "top"),
}
INPUTS: Mapping[str, Mapping[str, str]] = {
    "A": {"profiles/lab/package.mask": "# A\n", CHANGED: SIX["lab/tool/tool-1.ebuild"]},
    "B": {"profiles/lab/package.mask": "# B\n", CHANGED: package("lab/config lab/base", "other")},
}


@dataclass(frozen=True)
class Ended:
    """How a run ended; `changes` is how far it was counted."""

    status: int
    output: str
    changes: int


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """While inside, `folder` is a file system of its own, in memory, where we are root."""
    if os.geteuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g,mode=755", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)


class Bench:
    """The project in `folder`/project, built.

    `expected` is what a build from nothing gives, by state of the inputs, `keys` those of the steps for A; `lengths`
    and `seconds` are how many changes of the file system, and how long, each step takes for B.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = Project(folder / "project")
        files = {f"tree/{name}": text for name, text in {**TREE, **SIX, "profiles/image/packages": ""}.items()}
        files |= {"dodo.py": (CHECKOUT / "dodo.py").read_text(), "profiles/repo_name": "images\n"}
        files |= {"profiles/lab/packages": SIX["profiles/image/packages"], "profiles/lab/parent": "lab:image\n"}
        write(self.project.folder, {**files, "profiles/lab/quern.conf": CONF})
        self.python = folder / "bin/python"
        write(folder, {"bin/python": f"#!{sys.executable} -I\n{Path(hook.__file__).read_text()}"})
        self.python.chmod(0o755)
        self.python.with_name("emerge").symlink_to(Path(sys.executable).with_name("emerge"))  # looked for beside it
        self.expected = {}
        for state in "BA":
            self.clear()
            self.give(state)
            self.project.doit("image:lab")
            self.expected[state] = self.result()
        self.keys = {step.name: key_of(step.inputs(), step) for step in self.steps}
        self.lengths, self.seconds = dict[str, int](), dict[str, float]()
        self.give("B")
        for step in NAMES:
            self._save(step)
            started = monotonic()
            ended = self.run(step)
            assert ended.status == 0, ended.output
            self.lengths[step], self.seconds[step] = ended.changes, monotonic() - started
        assert self.result() == self.expected["B"]

    @property
    def image(self) -> Image:
        return overlay_image(self.project.folder / "profiles/lab", self.work)

    @property
    def work(self) -> Path:
        return self.project.folder / "build/lab"

    @property
    def steps(self) -> tuple[Step, ...]:
        return steps_of(self.image)

    def give(self, state: str) -> None:
        """Write the inputs of A or B."""
        write(self.project.folder, INPUTS[state])

    def clear(self) -> None:
        """Remove all that was made."""
        for name in MADE:
            path = self.project.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _save(self, step: str) -> None:
        """Keep what is made as it is before `step`."""
        target = self.folder / "states" / step
        target.mkdir(parents=True)
        subprocess.run(["cp", "-a", *MADE, target], cwd=self.project.folder, check=True)

    def restore(self, step: str) -> None:
        """Have everything as it is before `step` makes its output for B; all others are A's or B's."""
        self.clear()
        subprocess.run(["cp", "-a", f"{self.folder}/states/{step}/.", self.project.folder], check=True)
        self.give("B")

    @contextmanager
    def nearly_full(self, free: int) -> Iterator[None]:
        """While inside, this many bytes are free; the bench's folder has to be a tmpfs of its own, and we root."""
        system = os.statvfs(self.folder)
        used = (system.f_blocks - system.f_bfree) * system.f_frsize
        _resize(self.folder, used + free)
        try:
            yield
        finally:
            _resize(self.folder, system.f_blocks * system.f_frsize)

    def run(self, step: str, end_at: int = 0, number: int = signal.SIGKILL, after: float | None = None) -> Ended:
        """Run doit up to a step, and end it by a signal at a change, or after some seconds."""
        counter = self.python.with_name("counter")
        counter.write_bytes(bytes(hook.SIZE))
        argv = [sys.executable, hook.__file__, str(self.python), f"{step}:lab"]
        # the script's own interpreter must be found where /tmp is hidden
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
        with tempfile.TemporaryFile("w+") as output:  # not where the disk may be full
            process = subprocess.Popen(
                argv,
                cwd=self.project.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_obey_ctrl_c,
            )
            with counter.open("r+b", buffering=0) as file:
                file.seek(8)
                file.write(struct.pack("qqq", end_at, process.pid, number))
            try:
                process.wait(PATIENCE if after is None else after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, number)
                process.wait(PATIENCE)
            finally:
                process.kill()
            output.seek(0)
            changes = struct.unpack("q", counter.read_bytes()[:8])[0]
            return Ended(process.wait(), output.read(), changes)

    def result(self) -> dict[str, str]:
        """What was made, by name: every output that does not depend on when it was built, and which files there are.

        What a step of no use any more was making stays until it is run again, or cleaned.
        """
        found = {name: (self.work / f"{name}.digest").read_text() for name in NAMES if name != "packages"}
        found["lock"] = (self.project.folder / "lab.lock").read_text()
        found["packages"] = (self.work / "packages/packages.lock").read_text()
        for path in sorted((self.project.folder / "images").iterdir()):
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        found["names"] = " ".join(sorted(path.name for path in self.work.iterdir() if path.name[0] != "."))
        return found


def _resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def _obey_ctrl_c() -> None:
    """In the child: what a shell starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
