"""size:NAME: what takes the space in an image: packages, folders, the biggest files, and what was stripped.

OUTDIR/NAME.size.html      with --html: the same as a page, with a map to walk through
"""

from __future__ import annotations

from pathlib import Path

from quern.errors import display
from quern.project import Image
from quern.questions.base import Question, Switch, check_outdir, tell_machines
from quern.steps import receipt as receipts
from quern.steps.base import Run


def answer(image: Image, run: Run, *, html: bool, json: bool) -> None:
    """Say it; with `json` as one line of JSON (see size_text.py), with `html` as a page. Raises BuildError."""
    from quern.questions import size_page, size_text
    from quern.questions.measured import measure

    if html:
        check_outdir(image)
    measured = measure(image, run)
    if html:
        page(image).parent.mkdir(parents=True, exist_ok=True)
        receipts.write_atomically(page(image), size_page.text(image.name, measured))
    if json:
        tell_machines(size_text.record(image.name, measured))
        return
    written = [*size_text.moved(image.name, measured), f"{display(page(image))} is written"]
    for line in written if html else size_text.lines(image.name, measured):
        run.say(line)


def page(image: Image) -> Path:
    """Where the page is written."""
    return image.outdir / f"{image.output_name}.size.html"


def files(image: Image) -> tuple[Path]:
    """What may be written."""
    return (page(image),)


SIZE = Question(
    name="size",
    doc="say what takes the space in",
    after=None,
    options=(
        Switch("html", "write it as a page, NAME.size.html beside the image, with a map to walk through"),
        Switch("json", "one line of JSON, for machines"),
    ),
    answer=answer,
    files=files,
)
