"""quern-builder: build the image of one configuration file without a project, begin a project, or print the manual.

quern-builder FILE.conf
quern-builder init [FOLDER]
quern-builder manual [TOPIC]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from quern import __version__, config
from quern.encoding import take_all, use_utf8
from quern.errors import ConfigError, QuernError, of_the_machine
from quern.init import make_project
from quern.project import CONFIG, PROFILES, Image, check_image, check_name
from quern.steps.base import Run, run_step
from quern.steps.chain import driver_of, steps_of
from quern.steps.tarball import TarballStep, tarball_of
from quern.steps.work import mask
from quern.terminal import harmless

WORKDIR = Path("/tmp/quern")

USAGE = """\
quern-builder [-h] [--version] FILE.conf
       quern-builder init [-h] [FOLDER]
       quern-builder manual [-h] [TOPIC]"""
DESCRIPTION = """\
Build the image that FILE.conf describes, and print where it is. With `init`, make a project instead: a folder with one
small image, for doit. With `manual`, print a topic of the manual, or the list of topics."""
EPILOG = """\
Options are read from /etc/quern.conf, FILE.conf and the file that $QUERN_CONFIG names; the later one wins, and an
environment variable wins over them all. These are the options, with their variables and defaults:

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        use_utf8()
        take_all(sys.stdout)
        if words[:1] == ["init"]:
            _init(words[1:])
        elif words[:1] == ["manual"]:
            _manual(words[1:])
        else:
            build(_image(_parse(words)))
    except QuernError as error:
        print(f"quern-builder: error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not (refusal := of_the_machine(error)):
            raise
        print(f"quern-builder: error: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("quern-builder: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def build(image: Image) -> None:
    """Run the image's steps in order. Raises QuernError."""
    run = Run(driver_of(image, _say), _say)
    for step in steps_of(image):
        if not run_step(step, run):
            _say(f"Step {step.name} is up to date")
        if isinstance(step, TarballStep):
            _say(f"Build complete, image is available at {next(iter(step.published(tarball_of(image)[1])))}")


def _init(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="quern-builder init",
        description="Make a project with one small image, which can be built at once, and say how.",
    )
    where = "where to make it; by default here"
    parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", default=Path(), help=where)
    print(make_project(parser.parse_args(words).folder))


def _manual(words: Sequence[str]) -> None:
    import argparse

    from quern import manual

    parser = argparse.ArgumentParser(
        prog="quern-builder manual", description="Print a topic of the manual; without TOPIC, the list of topics."
    )
    parser.add_argument("topic", metavar="TOPIC", nargs="?", help="a name from the list of topics")
    topic: str | None = parser.parse_args(words).topic
    manual.show(manual.contents() if topic is None else manual.text_of(topic))


def _parse(arguments: Sequence[str]) -> Path:
    parser = argparse.ArgumentParser(
        prog="quern-builder",
        usage=USAGE,
        description=DESCRIPTION,
        epilog=EPILOG + config.template(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE.conf", type=Path, help="the image's configuration file")
    parser.add_argument("--version", action="version", version=f"quern {__version__}")
    file: Path = parser.parse_args(arguments).file
    return file


def _image(file: Path) -> Image:
    """The image of a configuration file. Raises ConfigError."""
    if not file.is_file():
        raise ConfigError(f"{file}: expected a configuration file, found none")
    file = file.resolve()
    folder = file.parent
    in_project = folder.parent.name == PROFILES
    base = folder.parent.parent if in_project else folder
    settings = config.load(config.search(file, os.environ), os.environ, base)
    name = check_name(folder.name if file.name == CONFIG else file.stem, file)
    is_profile = any((folder / part).exists() for part in ("packages", "parent"))
    if settings.build.profile is None and not is_profile:
        raise ConfigError(
            f"{file}: build.profile: expected REPOSITORY:PATH, or the files of a profile beside it, found neither"
        )
    work = _private(settings.build.workdir or WORKDIR) / name
    image = Image(name, settings, base, folder.parent if is_profile else None, work, folder.name)
    check_image(image)
    return image


def _private(folder: Path) -> Path:
    """Make `folder` with mode 0700, or accept it if it is ours. Raises ConfigError."""
    mask()  # the folders above it
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"build.workdir: {folder} cannot be made: {error.strerror}") from None
    if folder.is_symlink():
        raise ConfigError(f"build.workdir: {folder} is a link; name the folder that it points to")
    if folder.stat().st_uid != os.geteuid():
        raise ConfigError(f"build.workdir: {folder} belongs to someone else; set [build] workdir to a folder of yours")
    return folder


def _say(line: str) -> None:
    """Show a stage of the build; emerge's own lines come with their `>>>`."""
    print(harmless(line if line.startswith(">>> ") else f">>> INFO: {line}"), flush=True)
