"""The table of options: every section and key there is, what it means, its default, and who parses it.

This is the one place to add an option (and a field of the same name in `settings`).
"""

from __future__ import annotations

from functools import cache

from quern.config import container, values
from quern.config import portage as gentoo
from quern.config.option import Option
from quern.config.values import Parser

REPOSITORY = "repository:"  # how the name of a repository's section begins


def _text(section: str, key: str, default: str, parse: Parser, doc: str) -> Option:
    return Option(section, key, "str", default, doc, parse)


def _switch(section: str, key: str, default: str, doc: str) -> Option:
    return Option(section, key, "bool", default, doc, values.switch)


def _list(section: str, key: str, parse: Parser, doc: str) -> Option:
    return Option(section, key, "list", "", doc, parse, empty=(), multiline=True)


def _words(section: str, key: str, parse: Parser, doc: str, empty: object = ()) -> Option:
    return Option(section, key, "str", "", doc, parse, empty=empty, multiline=True)


_BUILD = (
    _text("build", "driver", "raw", values.one_of("raw", "docker"), "Build driver: raw (this machine) or docker"),
    _text(
        "build",
        "confine",
        "auto",
        values.one_of("auto", "on", "off"),
        "Confine builds of the raw driver (no network, writes to their own folders only): auto (warn if this machine"
        " forbids it), on (fail if it does) or off",
    ),
    _text(
        "build", "outdir", "", values.folder, "Folder where the generated image will be written; in a project images/"
    ),
    _text(
        "build",
        "profile",
        "",
        gentoo.profile,
        "Portage profile to use, REPOSITORY:PATH; in a project the image's folder",
    ),
    _text(
        "build",
        "workdir",
        "",
        values.folder,
        "Working directory for the build process; in a project build/, else below /tmp",
    ),
    _text(
        "build",
        "compression",
        "gzip",
        values.one_of("gzip", "zstd"),
        "Compression of the image: gzip, or zstd, which engines before docker 23 refuse",
    ),
    _text(
        "build",
        "image_name",
        "",
        container.image_name,
        "Name of the image; by default that of its folder or .conf file",
    ),
    _switch("build", "include_system", "off", "Also install the packages of @system"),
    _list(
        "build", "baselayout_atoms", gentoo.atoms, "Packages merged alone and first: the skeleton of the file system"
    ),
    Option(
        "build",
        "source_date_epoch",
        "int",
        "",
        "Time written into the image, in seconds since 1970; SOURCE_DATE_EPOCH counts as well",
        values.epoch,
        variable="SOURCE_DATE_EPOCH",
    ),
    _switch("build", "keep_failed", "on", "Keep the files of a failed step for inspection"),
    _switch("build", "keep_going", "on", "After a package has failed, build the packages that do not need it to build"),
    _text(
        "build",
        "lock",
        "",
        values.lock,
        "File of the project that builds write the lock to, like profiles/NAME/packages.lock, for version control",
    ),
    _switch("build", "locked", "off", "Build only what the lock says: a different resolution is an error"),
    _text(
        "build",
        "closure",
        "warn",
        values.one_of("warn", "error"),
        "Check for missing libraries, interpreters and symlink targets: warn or error",
    ),
)

_DOCKER = (
    Option(
        "docker",
        "daemon",
        "str",
        "",
        "Address of docker daemon; DOCKER_HOST when unset",
        container.daemon,
        shown="unix://var/run/docker.sock",
    ),
    _text(
        "docker",
        "image",
        "",
        container.docker_reference,
        "Builder image: the containers in which packages are built start from it",
    ),
    _text(
        "docker",
        "network",
        "",
        container.network,
        "Network of the build's containers; by default none",
    ),
    _text(
        "docker",
        "memory",
        "",
        container.memory,
        "Memory the container of a package may use: bytes, or a number with k, m or g",
    ),
    _text("docker", "cpus", "", container.cpus, "Processors the container of a package may keep busy, like 1.5"),
    _list("docker", "capabilities", container.capabilities, "Comma-separated capabilities that a build gets as well"),
    _text(
        "docker",
        "workdir_storage",
        "folder",
        container.storage,
        "Where packages are unpacked and compiled: folder (the working directory), volume:NAME or tmpfs:SIZE",
    ),
)

_EMERGE = (
    _switch("emerge", "ask", "off", "Ask at the terminal before packages are built"),
    Option("emerge", "jobs", "int", "0", "Processors that all builds together may keep busy; 0: all", values.count),
    _text(
        "emerge",
        "memory_per_job",
        "512m",
        container.memory,
        "Free memory that another package needs to begin, per process: bytes, or a number with k, m or g",
    ),
)

_PORTAGE = (
    _words("portage", "binhost", gentoo.urls, "Space-separated list of binary package hosts"),
    _text(
        "portage",
        "binhost_keys",
        "",
        values.path,
        "File of public keys (gpg --export), one of which must have signed every package from a binary package host",
    ),
    _text("portage", "binpkg", "", values.folder, "Path where binpkgs should be written"),
    Option("portage", "distfiles", "str", "", "Path to distfiles", values.folder, aliases=("disftiles",)),
    Option(
        "portage",
        "repositories",
        "list",
        "",
        "Comma-separated paths of portage repositories, or names (starter, a [repository:NAME] section);"
        " defaults to /var/db/repos/gentoo, else /usr/portage",
        gentoo.repositories,
        multiline=True,
    ),
    _words(
        "portage",
        "mirrors",
        gentoo.mirrors,
        "Space-separated NAME=URL: where mirror://NAME/ is fetched from; file:///FOLDER is a folder of this machine",
    ),
    Option(
        "portage",
        "gentoo_mirrors",
        "str",
        "",
        "Space-separated URLs of mirrors of Gentoo's distfiles, asked first; GENTOO_MIRRORS counts as well",
        gentoo.urls,
        empty=(),
        multiline=True,
        variable="GENTOO_MIRRORS",
    ),
    _switch("portage", "offline", "off", "Fetch nothing: a source file that is missing is an error, before any build"),
    _text(
        "portage",
        "signing_key",
        "",
        values.line,
        "Secret gpg key, by fingerprint or address, that signs the packages of doit binhost:NAME",
    ),
)

_STRIP = (
    _switch("strip", "doc", "off", "Strip simple files (man/info/doc) from the image"),
    _switch("strip", "dev", "off", "Strip headers, static libraries, .la and pkg-config files from the image"),
    _list(
        "strip", "paths", values.image_paths, "Comma-separated list of folders to strip from the image; globs allowed"
    ),
)

_POSTBUILD = (
    _text(
        "postbuild",
        "engines",
        "",
        values.one_of("docker", "none"),
        "What to load the image into: docker or none; when unset, docker if a daemon answers",
    ),
)

_DOCKERGEN = (
    _text("dockergen", "name", "", container.docker_name, "Name of the docker image; by default that of the image"),
    _text("dockergen", "tag", "latest", container.tag, "Tag of the docker image; $$DATE$$ becomes YYYYMMDD"),
    _text("dockergen", "maintainer", "", values.line, "Maintainer of the docker image"),
    _words("dockergen", "entrypoint", container.argv, "Program to run: split as by a shell, or a JSON list", None),
    _words("dockergen", "command", container.argv, "Its default arguments: split as by a shell, or a JSON list", None),
    _list("dockergen", "ports", container.ports, "Comma-separated ports the image listens on (80, 53/udp)"),
    _list("dockergen", "volumes", values.image_paths, "Comma-separated folders of the image that hold data"),
    _text("dockergen", "workdir", "", values.image_path, "Folder the program starts in"),
    _text("dockergen", "user", "", container.user, "User the program runs as: USER[:GROUP]"),
    _words("dockergen", "env", container.env, "Environment variables: KEY=VALUE words, quoted as in a shell"),
    _words("dockergen", "labels", container.labels, "Labels: KEY=VALUE words, quoted as in a shell"),
    _text(
        "dockergen",
        "stop_signal",
        "",
        container.stop_signal,
        "Signal that asks the program to end (SIGINT); engines send SIGTERM when unset, and SIGKILL ten seconds later",
    ),
    _words(
        "dockergen",
        "annotations",
        container.manifest_annotations,
        "Annotations of the image manifest: KEY=VALUE words, quoted as in a shell",
    ),
)

_TESTS = (
    Option(
        "tests",
        "timeout",
        "int",
        "60",
        "Seconds that each program in profiles/NAME/tests may take; 0 means no limit",
        values.count,
    ),
    _switch("tests", "network", "off", "Give tests a network"),
)

OPTIONS: tuple[Option, ...] = (*_BUILD, *_DOCKER, *_EMERGE, *_PORTAGE, *_STRIP, *_POSTBUILD, *_DOCKERGEN, *_TESTS)

_ANY = f"{REPOSITORY}NAME"

REPOSITORY_OPTIONS: tuple[Option, ...] = (
    _text(_ANY, "location", "", values.path, "Path of the repository NAME (required)"),
    Option(
        _ANY,
        "masters",
        "list",
        "",
        "Repositories it builds upon; by default what its layout.conf says",
        gentoo.repository_names,
        multiline=True,
    ),
    Option(_ANY, "priority", "int", "", "The higher one wins where two have the same package version", values.integer),
    _list(_ANY, "eclass-overrides", gentoo.repository_names, "Repositories whose eclasses replace its own"),
    _list(_ANY, "aliases", gentoo.repository_names, "Other names it is known by"),
)


# What earlier versions had: still accepted, with a warning that says why it has no effect any more.
REMOVED = (
    Option("build", "checkpoints", "int", "", "a root takes a second or two, no copies are kept", values.count),
    _switch("portage", "autofix", "", "/usr/portage is the main repository in containers, and untouched elsewhere"),
)


@cache
def sections() -> tuple[str, ...]:
    """The names of the sections, in order (not [repository:NAME], of which there may be many)."""
    return tuple(dict.fromkeys(option.section for option in OPTIONS))


@cache
def options_of(section: str) -> tuple[Option, ...]:
    """The options a section may hold."""
    if section.startswith(REPOSITORY):
        return REPOSITORY_OPTIONS
    return tuple(option for option in OPTIONS if option.section == section)
