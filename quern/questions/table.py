"""The questions and chores, with what doit must know to list them. The module that answers is loaded when asked."""

from __future__ import annotations

from quern.questions import written
from quern.questions.base import Chore, Later, Question, Switch, Text

BINHOST = Question(
    name="binhost",
    doc="write a binary package host, for a web server, with the packages of",
    after="packages",
    options=(),
    answer=Later("binhost"),
    files=written.binhost,
    is_own=Later("binhost", "is_own"),
)
DIFF = Question(
    name="diff",
    doc="say what has changed since the last different build of",
    after="image",
    options=(
        Text("lock", "compare the packages with those of this lock instead", "l"),
        Text("archive", "compare with this archive of an image, or tarball of a root, instead", "a"),
        Switch("json", "one line of JSON, for machines"),
    ),
    answer=Later("diff"),
)
LOCK = Question(
    name="lock",
    doc="resolve, say what moves, and update the lock of",
    after="portage",
    options=(Switch("check", "write nothing, and fail if anything moves"),),
    answer=Later("lock"),
)
SBOM = Question(
    name="sbom",
    doc="write bills of materials, SPDX and CycloneDX, of",
    after="image",
    options=(),
    answer=Later("sbom"),
    files=written.sbom,
)
SHELL = Question(
    name="shell",
    doc="open a shell in the failed build of a package of",
    after=None,
    options=(Text("command", "run this instead, and end with its exit status", "c"),),
    answer=Later("shell"),
)
SIZE = Question(
    name="size",
    doc="say what takes the space in",
    after=None,
    options=(
        Switch("html", "write it as a page, NAME.size.html beside the image, with a map to walk through"),
        Switch("json", "one line of JSON, for machines"),
    ),
    answer=Later("size"),
    files=written.size,
)
TRY = Question(
    name="try",
    doc="run, as `docker run` would but without a daemon,",
    after="tarball",
    options=(
        Text("command", "run this instead of entrypoint and command: split as by a shell, or a JSON list", "c"),
        Text("arguments", "give this to the entrypoint, in place of [dockergen] command"),
        Switch("network", "with this machine's network; otherwise there is none"),
    ),
    answer=Later("try_image"),
)
VERIFY = Question(
    name="verify",
    doc="build again from source elsewhere, and compare, for",
    after=None,
    options=(),
    answer=Later("verify"),
)
WHY = Question(
    name="why",
    doc="say what brings a file or a package into",
    after=None,
    options=(
        Text("path", "a path in the image: which package owns it, or which strip rule took it out"),
        Text("package", "a package: which lines ask for it or for what needs it"),
        Switch("json", "one line of JSON, for machines"),
    ),
    answer=Later("why"),
)
PRUNE = Chore(
    name="prune",
    doc="show what is on disk, and with --yes remove what is not needed any more, for",
    options=(Switch("yes", "remove what no image needs, instead of only showing it"),),
    answer=Later("pruning", "prune"),
)
