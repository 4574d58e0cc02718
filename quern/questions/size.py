"""size:NAME: what takes the space in an image: packages, folders, the biggest files, and what was stripped.

OUTDIR/NAME.size.html      with --html: the same as a page, with a map to walk through
"""

from __future__ import annotations

from quern.errors import display
from quern.project import Image
from quern.questions import size_page, size_text, written
from quern.questions.base import check_outdir, tell_machines
from quern.questions.measured import measure
from quern.steps import receipt as receipts
from quern.steps.base import Run


def answer(image: Image, run: Run, *, html: bool, json: bool) -> None:
    """Say it; with `json` as one line of JSON (see size_text.py), with `html` as a page. Raises BuildError."""
    (page,) = written.size(image)
    if html:
        check_outdir(image)
    measured = measure(image, run)
    if html:
        page.parent.mkdir(parents=True, exist_ok=True)
        receipts.write_atomically(page, size_page.text(image.name, measured))
    if json:
        tell_machines(size_text.record(image.name, measured))
        return
    told = [*size_text.moved(image.name, measured), f"{display(page)} is written"]
    for line in told if html else size_text.lines(image.name, measured):
        run.say(line)
