"""quern-builder init: a project that builds at once, to be changed from there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from quern.errors import ConfigError, display
from quern.project import CONFIG, PROFILES

NAME = "hello"  # of the first image
FILES = {
    "dodo.py": '''\
"""Every folder of profiles/ with a quern.conf is an image: `doit list`, `doit image:NAME`."""

from collections.abc import Iterator

from quern.tasks import DOIT_CONFIG, project_tasks  # noqa: F401 - doit reads DOIT_CONFIG


def task_images() -> Iterator[dict[str, object]]:
    return project_tasks(__file__)
''',
    ".gitignore": """\
# what doit makes
/build/
/images/
.doit.db*
__pycache__/
""",
    f"{PROFILES}/repo_name": """\
local
""",
    f"{PROFILES}/{NAME}/packages": """\
sys-libs/musl
app-misc/hello-quern
""",
    f"{PROFILES}/{NAME}/parent": """\
starter:musl
""",
    f"{PROFILES}/{NAME}/{CONFIG}": """\
; The smallest image, built in about a minute: musl and one program.
; `quern-builder --help` lists every option.

[portage]
; Only the small repository that comes with quern
repositories = starter

[strip]
; No documentation, headers or static libraries
doc = on
dev = on
; No package database
paths = /var/db/pkg

[dockergen]
entrypoint = /usr/bin/hello-quern
""",
}
NEXT = """\
{made}
Next:
    {enter}doit image:{name}
An image is a folder of {profiles}/. `doit list` shows the tasks, `quern-builder manual tutorial` the next steps."""


def make_project(folder: Path) -> str:
    """Write a project of one image into `folder`, and say what to do next.

    Nothing that is there is changed: raises ConfigError before anything is written if a file of the project is there,
    or cannot be. A .gitignore of the user's is left as it is.
    """
    made = [name for name in FILES if name != ".gitignore" or not os.path.lexists(folder / name)]
    for name in ("dodo.py", PROFILES):
        if os.path.lexists(folder / name):
            raise ConfigError(f"{display(folder / name)} is there already; init begins a new project")
    try:
        for name in made:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(FILES[name])
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written: {error.strerror}") from None
    return _report(folder, made)


def _report(folder: Path, made: list[str]) -> str:
    here = folder.resolve() == Path.cwd()
    lines = [f"{display(folder / name)} is written" for name in made]
    if ".gitignore" not in made:
        lines.append(f"{display(folder / '.gitignore')} is left as it is; have it name /build/, /images/ and .doit.db*")
    enter = "" if here else f"cd {shlex.quote(str(folder))}\n    "
    return NEXT.format(made="\n".join(lines), enter=enter, name=NAME, profiles=PROFILES)
