"""A step small enough to try the contract of steps on: its output is the text of one file, in upper case.

python -m tests.toy SOURCE WORK EVENTS [clean]      run or clean it, and die by SIGKILL at the EVENTSth change of the
                                                    file system
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from quern.errors import BuildError
from quern.steps.base import Made, Run, Step, clean_step, run_step
from quern.steps.receipt import Receipt
from tests.projects import run

# audit events (PEP 578) of what changes the file system or has a worker change it
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.link", "os.truncate", "subprocess.Popen"}


@dataclass(frozen=True)
class ToyStep(Step):
    """Writes SOURCE in upper case to `text`, and publishes it as `TITLE.txt` in SHELF where there is one.

    What SOURCE asks for: `fail`, `edit` (of SOURCE while it is built). `version_of_format` is an input that does not
    reach the output. TAG stands for something outside the file system that `settle` brings back.
    """

    name: ClassVar[str] = "toy"
    doc: ClassVar[str] = "write in upper case"

    source: Path
    shelf: Path | None = None
    tag: Path | None = None
    version_of_format: int = 1

    def inputs(self) -> dict[str, Any]:
        return {"text": self.source.read_text(), "format": self.version_of_format}

    def build(self, staging: Path, run: Run) -> Made:
        text = self.source.read_text()
        assert list(staging.iterdir()) == []
        (staging / "text").write_text(text.upper())
        if "fail" in text:
            raise BuildError("it was asked to fail")
        if "edit" in text:
            self.source.write_text("something else")
        return Made({"title": text.split()[0]})

    def published(self, info: Mapping[str, Any]) -> dict[Path, str]:
        return {self.shelf / f"{info['title']}.txt": "text"} if self.shelf else {}

    def lacking(self, receipt: Receipt) -> str | None:
        return "the tag" if self.tag and not self.tag.exists() else None

    def settle(self, receipt: Receipt, run: Run) -> None:
        if self.tag:
            self.tag.write_text(receipt.digest)


def main() -> None:
    """See the module's docstring."""
    source, work, events = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    step = ToyStep(work / "work", keep_failed=True, source=source, shelf=work / "shelf")
    left = events

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writing:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    clean_step(step, run(), dry=False) if sys.argv[4:] == ["clean"] else run_step(step, run())


if __name__ == "__main__":
    main()
