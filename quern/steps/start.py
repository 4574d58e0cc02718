"""Whether the image has the program, folder and user that [dockergen] names (see worker/starting.py)."""

from __future__ import annotations

from pathlib import Path

from quern.errors import BuildError
from quern.project import Image
from quern.steps.base import Run
from quern.steps.unresolved import lines, shown
from quern.strip_rules import rules
from quern.terminal import harmless


def check(image: Image, root: Path, whole: Path, run: Run) -> None:
    """Say what is not there; `root` is the stripped one. Raises BuildError with `closure = error`."""
    said = image.settings.dockergen
    start = {
        "entrypoint": said.entrypoint or (),
        "command": said.command or (),
        "workdir": said.workdir or "",
        "user": said.user or "",
        "volumes": said.volumes,
        "path": dict(said.env).get("PATH", ""),
    }
    strip = image.settings.strip
    answer = run.driver.call("starting", root=str(root), whole=str(whole), rules=rules(strip), start=start)
    for hint in answer["hints"]:
        run.say(f"Hint: {harmless(hint)}")
    found = shown([harmless(line) for line in lines(answer["unresolved"], strip)])
    if found and image.settings.build.closure == "error":
        text = "\n  ".join(found)
        raise BuildError(f"build.closure: [dockergen] of {image.name} names what is not in it:\n  {text}")
    for line in found:
        run.say(f"Warning: {line}")
