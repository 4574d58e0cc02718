"""strip:NAME: the image root without what [strip] names, as hard links to it.

    build/NAME/strip/image/

A changed rule thus never costs an emerge. Nothing may ever write into this tree: it shares its files with the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from quern.errors import BuildError
from quern.project import Image
from quern.steps.base import Made, Run, Step, megabytes
from quern.steps.receipt import Receipt
from quern.steps.unresolved import high_ids, lines, shown, unfit
from quern.strip_rules import rules
from quern.terminal import harmless


@dataclass(frozen=True, eq=False, repr=False)
class StripStep(Step):
    """Strips the root."""

    name: ClassVar[str] = "strip"
    doc: ClassVar[str] = "strip documentation and other unwanted files from"
    parts: ClassVar[tuple[str, ...]] = ("image",)

    image: Image

    def files(self) -> list[Path]:
        """The root's digest."""
        return [self.place.beside("root").digest]

    def inputs(self) -> dict[str, Any]:
        """The root, the rules, and whether what they leave has to be whole."""
        settings = self.image.settings
        return {
            "root": self.place.beside("root").digest_text(),
            "rules": rules(settings.strip),
            "closure": settings.build.closure,
            "dockergen": {"env": list(self._environment().items())},
        }

    def build(self, staging: Path, run: Run) -> Made:
        """Link everything but what the rules name."""
        strip = self.image.settings.strip
        source = self.place.beside("root").output / "image"
        answer = run.driver.call("clone", source=str(source), target=str(staging / "image"), skip=rules(strip))
        if not any((staging / "image").iterdir()):
            raise BuildError(f"strip.paths: {', '.join(strip.paths)}: nothing is left of the image")
        for rule in answer["rules"]:
            if rule["paths"]:
                run.say(f"Pruning {source}{rule['rule']}")
            elif rule["rule"] in strip.paths:
                run.say(f"Warning: strip.paths: {rule['rule']} matches nothing in the image")
        self._check_layer(staging / "image", source, run)
        self._check_closure(staging / "image", source, run)
        return Made({"removed": answer["removed"], "rules": answer["rules"]})

    def _check_layer(self, image: Path, whole: Path, run: Run) -> None:
        """Say which files not every engine can have. Raises BuildError for those that none can."""
        answer = run.driver.call("layer", root=str(image), whole=str(whole))
        if answer["refused"]:
            text = "\n  ".join(shown(list(map(harmless, unfit(answer["refused"])))))
            raise BuildError(
                f"no layer of an image can hold files of {self.image.name}; strip.paths could leave them out:\n  {text}"
            )
        for line in high_ids(answer["ids"]):
            run.say(f"Warning: {harmless(line)}")

    def _environment(self) -> dict[str, str]:
        """What [dockergen] sets of where programs and libraries are looked for."""
        return {name: value for name, value in self.image.settings.dockergen.env if name in ("PATH", "LD_LIBRARY_PATH")}

    def _check_closure(self, image: Path, whole: Path, run: Run) -> None:
        """Say what files of the image name and is not in it. Raises BuildError where that is an error."""
        settings, log = self.image.settings, self.place.log
        log.unlink(missing_ok=True)
        around = self._environment()
        answer = run.driver.call(
            "closure",
            root=str(image),
            whole=str(whole),
            rules=rules(settings.strip),
            path=around.get("PATH", ""),
            library_path=around.get("LD_LIBRARY_PATH", ""),
        )
        found = lines(answer["unresolved"], settings.strip)
        if not found:
            return
        log.write_text("".join(f"{harmless(line)}\n" for line in found), encoding="utf-8")
        if settings.build.closure == "error":
            text = "\n  ".join(shown(found))
            raise BuildError(f"build.closure: files of {self.image.name} need what is not in it:\n  {text}\nlog: {log}")
        for line in shown(found):
            run.say(f"Warning: {line}")

    def made(self, receipt: Receipt) -> str:
        """What is left, and what was taken out."""
        removed = receipt.info["removed"]["bytes"]
        return megabytes(receipt.info["bytes"]) + (f", {megabytes(removed)} left out" if removed else "")
