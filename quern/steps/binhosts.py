"""Binary packages of the binhosts that the user names: fetched by quern, chosen and taken over by Portage.

    BINHOST/Packages ──▶ scratch/binhost/N/Packages      the index, fetched
                         resolve, with these as binhosts  which packages Portage takes from where; no network
    BINHOST/PATH     ──▶ scratch/binhost/N/PATH          those packages, as their index describes them
                         emerge --fetchonly --getbinpkg   into PKGDIR; no network
                         signatures                       checked, where there are keys

So an address, which may hold a password, is never Portage's to know, and no ebuild that it sources has the network.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from quern.errors import BuildError
from quern.fetching import messages
from quern.fetching import sources as fetching
from quern.fetching.download import read
from quern.fetching.manifest import expected
from quern.fetching.sources import Progress, Source, Unfetched
from quern.fetching.uris import Place, Places, public
from quern.fetching.web import NotHad, Web
from quern.portage import emerge
from quern.portage.package_index import INDEX
from quern.portage.plan import from_answer
from quern.steps import capsule, signed
from quern.steps.base import counted, megabytes
from quern.terminal import harmless
from quern.worker.regular import LIMIT

if TYPE_CHECKING:
    from quern.steps.emerging import Build

LEFT_OUT = "Warning: {url} is left out, its packages are built here: {why}"
OFFLINE = "portage.offline = on"
IS_LOCAL = "file:"


class _Binhost(NamedTuple):
    """A binhost whose index is in `folder`; `base` is the address that the paths in it belong to."""

    folder: Path
    base: str


def fetch(build: Build, targets: Sequence[str]) -> set[tuple[str, bool]]:
    """Fetch the packages that emerge takes from binhosts for `targets`: into scratch, for `take_over`.

    Returns the cpv of each, and whether it is for the host side. Raises BuildError for one that cannot be had.
    """
    web = Web(os.environ)
    binhosts = _ask(build, web)
    if not binhosts:
        return set()
    answer = build.run.driver.call(
        "resolve",
        environment=build.environment(binhosts=True),
        reach=build.reach(build.host, build.root, build.view, build.scratch / "tmp"),
        arguments=[*emerge.source_options(build.processors, binhost=True), *targets],
        settings=build.surroundings.host_settings(),
    )
    if not answer["success"]:
        raise capsule.error_of(build, harmless(answer["output"]))
    wanted, places = _wanted(build, answer, binhosts)
    if wanted:
        _download(build, wanted, places, web)
    return {(source.package.cpv, source.package.on_host) for source in wanted}


def take_over(build: Build, targets: Sequence[str]) -> None:
    """Have emerge put what was fetched into PKGDIR, and check it. All sources of the other packages must be there.

    Raises BuildError if a package is not what the index calls it, or must be signed and is not.
    """
    before = signed.packages(build)
    options = emerge.source_options(build.processors, binhost=True)
    build.emerge([*options, "--fetchonly"], targets)
    signed.check(build, signed.packages(build) - before)


def _ask(build: Build, web: Web) -> list[_Binhost]:
    """Fetch the index of every binhost; one that has none is left out, and that is said."""
    options, found = build.setup.image.settings.portage, []
    for folder, url in zip(build.binhosts, options.binhost, strict=True):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if options.offline and not url.startswith(IS_LOCAL):
                raise NotHad(OFFLINE)
            text = _index(web, url.rstrip("/"))
        except NotHad as error:
            why = "no file Packages there" if url.startswith(IS_LOCAL) else str(error)
            build.run.say(LEFT_OUT.format(url=public(url.rstrip("/")), why=why))
            continue
        head, blank, rest = text.partition("\n\n")
        lines = head.split("\n")
        bases = [line.removeprefix("URI: ") for line in lines if line.startswith("URI: ")]
        head = "\n".join(line for line in lines if not line.startswith(("URI: ", "TTL: ")))
        (folder / INDEX).write_text(head + blank + rest, encoding="utf-8")
        found.append(_Binhost(folder, bases[0] if bases else url.rstrip("/")))
    return found


def _index(web: Web, url: str) -> str:
    """The text of a binhost's index. Raises NotHad."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read(web, f"{url}/{INDEX}.gz", LIMIT))) as packed:
            data = packed.read(LIMIT + 1)
    except (NotHad, OSError, EOFError):  # it need not be there
        data = read(web, f"{url}/{INDEX}", LIMIT)
    if len(data) > LIMIT:
        raise NotHad(f"{INDEX}.gz is of more than {LIMIT >> 20} MiB")
    return data.decode(errors="replace")


def _wanted(
    build: Build, answer: dict[str, Any], binhosts: Sequence[_Binhost]
) -> tuple[list[Source], dict[str, Places]]:
    """The packages that Portage takes from binhosts, named by their paths in scratch, and where each can be had.

    Raises BuildError for one that its index does not describe, or whose path leads elsewhere.
    """
    plan, wanted, places = from_answer(answer, build.run.driver.outside), list[Source](), dict[str, Places]()
    known = {(package.cpv, package.on_host): package for package in (*plan.packages, *plan.host)}
    by_address = {f"file://{each.folder}": each for each in binhosts}
    for entry in answer["plan"]:
        remote = entry["remote"]
        if not remote or entry["on_host"]:  # what is for the host side is built here
            continue
        binhost, path = by_address[remote["BASE_URI"].rstrip("/")], remote.get("PATH", "").lstrip("/")
        digests = [word for name, value in remote.items() if name not in ("BASE_URI", "PATH") for word in (name, value)]
        file = expected([remote.get("SIZE", ""), *digests])
        is_below = path.isprintable() and not {"", ".", ".."} & {*path.split("/")}
        if file is None or not is_below:
            raise BuildError(f"{entry['cpv']}: the index of {public(binhost.base)} has no path, size and digest of it")
        name = str((binhost.folder / path).relative_to(build.scratch))
        wanted.append(Source(name, (known[entry["cpv"], entry["on_host"]],), file))
        places[name] = Places((Place(f"{binhost.base.rstrip('/')}/{quote(path)}"),))
    return wanted, places


def _download(build: Build, wanted: Sequence[Source], places: dict[str, Places], web: Web) -> None:
    """Fetch packages. Raises BuildError if one cannot be had."""
    size = sum(source.file.size for source in wanted)
    build.run.say(f"Fetching {counted(len(wanted), 'binary package')}, {megabytes(size)}")
    for source in wanted:
        (build.scratch / source.name).parent.mkdir(parents=True, exist_ok=True)
    failed = []
    for event in fetching.fetch(wanted, places, build.scratch, web):
        if isinstance(event, Progress):
            build.run.say(messages.progress(event))
        elif isinstance(event, Unfetched):
            failed.append(event)
    if failed:
        raise BuildError(messages.unfetched_packages(failed))
