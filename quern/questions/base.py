"""What a question about an image is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from quern.interrupts import heard
from quern.project import Image
from quern.steps.base import Run


class Switch(NamedTuple):
    """An option of a question, off unless given: `--NAME`."""

    name: str
    doc: str


class Text(NamedTuple):
    """An option of a question, empty unless given: `--NAME=TEXT`, or with `short`, `-SHORT TEXT`."""

    name: str
    doc: str
    short: str = ""


def no_files(image: Image) -> tuple[Path, ...]:
    """Of a question that writes none."""
    return ()


def tell_machines(value: object) -> None:
    """Answer with one line of JSON."""
    with heard():
        print(json.dumps(value), flush=True)


def check_outdir(image: Image) -> None:
    """Raise DriverError where somebody else could replace what is written to the folder of finished images."""
    from quern.steps.work import check_owner

    check_owner(image.outdir, "[build] outdir")


def read_tree(run: Run, verb: Callable[..., dict[str, Any]], **params: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the answer of `verb`, a worker's function that reads trees of the work folder and changes nothing.

    It is called in this process, which needs no daemon. Where an ordinary user may not read everything, because root
    has filled the tree in a container, the driver runs the verb of the same name. Raises QuernError.
    """
    try:
        return verb(**params)
    except PermissionError:
        return run.driver.call(verb.__name__, **params)


@dataclass(frozen=True)
class Later:
    """A function of a module of this package, which is loaded when it is called: tasks are listed at every start."""

    module: str
    function: str = "answer"

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (those of the function)
        return getattr(import_module(f"quern.questions.{self.module}"), self.function)(*arguments, **options)


class Question(NamedTuple):
    """Something to be asked about an image.

    `doc` is followed by the name of the image, or of all; `after` is the step that has to be up to date before.
    `answer` gets the image, the run and every option by name; it says the answer, and raises QuernError.
    `files` are those that it may write, which are the question's to clean, if they are there and `is_own` says so.
    """

    name: str
    doc: str
    after: str | None
    options: tuple[Switch | Text, ...]
    answer: Callable[..., None]
    files: Callable[[Image], tuple[Path, ...]] = no_files
    is_own: Callable[[Path], bool] = Path.is_file


def clear(image: Image, question: Question, dry: bool) -> list[Path]:
    """Remove what a question has written, and return those paths; with `dry` only say what. Raises QuernError."""
    from quern.drivers.raw import RawDriver

    paths = [path for path in question.files(image) if question.is_own(path)]
    for path in () if dry else paths:
        RawDriver().call("remove", path=str(path), within=str(path.parent))
    return paths


class Chore(NamedTuple):
    """Something to be done for all images of a project together.

    `doc` is followed by their names; `answer` gets the images, what takes a line for the user, and every option by
    name; it raises QuernError.
    """

    name: str
    doc: str
    options: tuple[Switch, ...]
    answer: Callable[..., None]
