"""What emerge would do, asked of Portage's own resolver without running emerge.

Runs in Portage's Python with the environment that emerge would get, set before Portage is imported: it reads it then.
`_emerge` is private to Portage; nothing else here imports it, and a test compares the plan with `emerge --pretend`.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from . import WorkerError
from .line_ends import check_named, check_sourced
from .settings import adopt
from .sourced import sourced
from .watching import Watch, eclass_file

# Portage has no type annotations that mypy could follow
Config = Any
Settings = Any
Graph = Any
Package = Any
Entry = dict[str, Any]

NO_PLAN: dict[str, Any] = {}

# What a profile may not set: whether Manifests count, where packages come from, and programs that emerge itself runs.
OURS = (
    "PORTAGE_CHECKSUM_FILTER", "PORTAGE_BINHOST", "FETCHCOMMAND", "RESUMECOMMAND", "PORTAGE_IONICE_COMMAND",
    "PORTAGE_TRUST_HELPER", "BINPKG_GPG_",
)  # fmt: skip


def resolve(arguments: list[str], settings: str = "") -> dict[str, Any]:
    """Resolve the emerge command line `arguments`; `settings` are for the host side (see `settings`).

    Returns {"success": bool, "output": what emerge would print} and, with success, "plan": [package, ...] in merge
    order, "variables": {name: value} that every build of them sees, "arch": ARCH, "mirrors": {name: [URL, ...]} of the
    repositories, "watched": paths below them that the answer depends on; see `_entry` and `watching`.
    """
    if settings:
        adopt(settings)
    watch = Watch()
    with tempfile.TemporaryFile() as noise:
        kept = os.dup(1), os.dup(2)
        os.dup2(noise.fileno(), 1)
        os.dup2(noise.fileno(), 2)
        try:
            answer = _plan(arguments, watch)
        except WorkerError:
            raise
        except SystemExit:  # Portage's way out of an unusable profile or command line
            answer = NO_PLAN
        except Exception as error:  # and of an ebuild that bash cannot read, or a quote that is not closed
            answer = NO_PLAN
            print(f"!!! Portage gave up: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for target, descriptor in enumerate(kept, start=1):
                os.dup2(descriptor, target)
                os.close(descriptor)
        noise.seek(0)
        output = noise.read().decode(errors="replace")
    watch.check()
    if not answer:
        check_named(output)
    return {"success": bool(answer), "output": output, **answer}


def _plan(arguments: list[str], watch: Watch) -> dict[str, Any]:
    from _emerge.actions import adjust_configs, expand_set_arguments, load_emerge_config
    from _emerge.create_depgraph_params import create_depgraph_params
    from _emerge.depgraph import backtrack_depgraph
    from _emerge.main import parse_opts, profile_check

    action, options, targets = parse_opts(arguments, silent=True)
    config = load_emerge_config(action=action, args=targets, opts=options)
    _check_settings(config.target_config.settings)
    check_sourced(config.target_config.settings)
    if options.get("--usepkgonly") is True:
        options["--usepkg"] = True
    if options.get("--usepkg") is True:
        for trees in config.trees.values():
            trees["bintree"].populate(getbinpkgs=options.get("--getbinpkg") is True)
    adjust_configs(options, config.trees)
    if profile_check(config.trees, action) != os.EX_OK:
        return NO_PLAN
    targets, status = expand_set_arguments(targets, action, config.target_config)
    if status != os.EX_OK:
        return NO_PLAN
    success, graph, _ = backtrack_depgraph(
        config.target_config.settings,
        config.trees,
        options,
        create_depgraph_params(options, action),
        action,
        targets,
        None,  # no spinner
    )
    graph.display_problems()
    if not success:
        return NO_PLAN
    settings = config.target_config.settings
    return {
        "plan": _entries(graph, config),
        "mirrors": settings.thirdpartymirrors(),
        "variables": _variables(settings),
        "arch": settings.get("ARCH", ""),
        "watched": watch.paths(settings.repositories),
    }


def _check_settings(settings: Settings) -> None:
    """Raise WorkerError if a profile sets, for itself or for a repository's packages, what is not its to set."""
    for defaults in (settings.configdict["defaults"], *settings._repo_make_defaults.values()):
        for name in sorted(defaults):
            if name.startswith(OURS):
                raise WorkerError(f"make.defaults: a profile sets {name}, which is not a profile's to set: take it out")


# set by the run, or already in every package's flags, or about which package is taken rather than how it is built
NOT_BUILD_VARIABLES = {
    "USE", "USE_ORDER", "PKGDIR", "DISTDIR", "PORTAGE_TMPDIR", "PORTAGE_LOGDIR", "EMERGE_LOG_DIR", "RPMDIR",
    "GENTOO_MIRRORS", "FETCHCOMMAND", "RESUMECOMMAND", "EMERGE_DEFAULT_OPTS", "MAKEOPTS", "PORTAGE_BINHOST",
    "ACCEPT_KEYWORDS", "ACCEPT_LICENSE", "ACCEPT_PROPERTIES", "ACCEPT_RESTRICT", "CLEAN_DELAY",
    "EMERGE_WARNING_DELAY", "AUTOCLEAN", "CONFIG_PROTECT", "CONFIG_PROTECT_MASK", "PORTAGE_ELOG_SYSTEM",
}  # fmt: skip


# of a repository: sourced while its packages are installed and merged, and they can change what is (ebuild(5))
QA_CHECKS = ("install-qa-check.d", "preinst-qa-check.d", "postinst-qa-check.d")


def _variables(settings: Settings) -> dict[str, str]:
    """What make.globals, the profile's make.defaults and make.conf set, stacked, that a build can see."""
    layers = (settings.configdict[name] for name in ("globals", "defaults", "conf"))
    names = {name for layer in layers for name in layer}
    expanded = {*settings.get("USE_EXPAND", "").split(), *settings.get("USE_EXPAND_UNPREFIXED", "").split()}
    skipped = NOT_BUILD_VARIABLES | expanded
    variables = {
        name: settings.get(name, "")
        for name in sorted(names - skipped)
        if not name.startswith(("FETCHCOMMAND_", "RESUMECOMMAND_", "PORTAGE_RSYNC_", "BINPKG_GPG_"))
    }
    for name in ("profile.bashrc", "package.bashrc", "bashrc", "package.env", "env"):
        digests = filter(None, (_digest(os.path.join(folder, name)) for folder in settings.profiles))
        variables.update({f"{name} {number}": digest for number, digest in enumerate(digests)})
    beside = filter(None, (_digest(folder, sourced(folder)) for folder in settings.profiles if os.path.isdir(folder)))
    variables.update({f"bashrc-sources {number}": digest for number, digest in enumerate(beside)})
    for repository in settings.repositories:
        for name in QA_CHECKS:
            if digest := _digest(os.path.join(repository.location, "metadata", name)):
                variables[f"{name} {repository.name}"] = digest
    return variables


def _digest(path: str, names: Sequence[str] | None = None, above: tuple[str, ...] = ()) -> str:
    """The SHA-256 of a file, or of the files below a folder with their names; empty where there is none.

    Of the folder's own names only `names` count, if they are given; `above` are the folders that it is in.
    """
    if os.path.isfile(path):
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    real = os.path.realpath(path)
    if names == [] or not os.path.isdir(path) or real in above:
        return ""
    names = sorted(os.listdir(path)) if names is None else names
    rows = [f"{name} {_digest(os.path.join(path, name), None, (*above, real))}" for name in names]
    return hashlib.sha256("\n".join(rows).encode(errors="surrogateescape")).hexdigest()


def _entries(graph: Graph, config: Config) -> list[Entry]:
    """The packages that are to be merged, in order; edges are indices into the same list."""
    packages = [node for node in graph.altlist() if getattr(node, "operation", None) == "merge"]
    number = {package: index for index, package in enumerate(packages)}
    digraph = graph._dynamic_config.digraph
    return [_entry(package, number, digraph, config) for package in packages]


def _parents(package: Package, digraph: Graph) -> list[Any]:
    return list(digraph.parent_nodes(package)) if package in digraph else []


def _entry(package: Package, number: dict[Any, int], digraph: Graph, config: Config) -> Entry:
    from _emerge.DependencyArg import DependencyArg

    trees = config.trees[package.root]
    ebuild, fetched, eclasses = "", dict[str, list[str]](), dict[str, str]()
    if not package.built:
        portdb = trees["porttree"].dbapi
        tree = portdb.getRepositoryPath(package.repo)
        ebuild = portdb.findname(package.cpv, myrepo=package.repo)
        try:
            fetched = portdb.getFetchMap(package.cpv, useflags=package.use.enabled, mytree=tree)
        except Exception as error:  # that of a dependency string names no package
            raise ValueError(f"{ebuild}: SRC_URI: {error}") from error
        known = portdb.repositories.get_repo_for_location(tree).eclass_db
        eclasses = {name: eclass_file(known, name) for name in sorted(package.inherited)}
    build, run = list[int](), list[int]()
    if package in digraph:
        for child, priorities in digraph.nodes[package][0].items():
            if child in number:
                at_build = any(getattr(priority, "buildtime", False) for priority in priorities)
                (build if at_build else run).append(number[child])
                if at_build and any(getattr(priority, "runtime", False) for priority in priorities):
                    run.append(number[child])
    return {
        "cpv": str(package.cpv),
        "slot": package.slot,
        "subslot": package.sub_slot,
        "repository": package.repo,
        "use": sorted(package.use.enabled & package.iuse.all),
        "iuse": sorted(package.iuse.all),
        "flags": sorted(package.use.enabled),
        "restrict": sorted(package.restrict),
        "phases": package._metadata.get("DEFINED_PHASES", "").split(),
        "wanted": any(isinstance(parent, DependencyArg) for parent in _parents(package, digraph)),
        "live": "live" in package._metadata.get("PROPERTIES", "").split(),
        "on_host": package.root != config.trees._target_eroot,
        "ebuild": ebuild,
        "eclasses": eclasses,
        "remote": _remote(package, trees["bintree"]) if package.built else {},
        "distfiles": sorted(fetched),
        "sources": {name: list(uris) for name, uris in fetched.items()},
        "build_deps": sorted(build),
        "run_deps": sorted(run),
    }


def _remote(package: Package, packages: Any) -> dict[str, str]:  # noqa: ANN401 (Portage's bintree)
    """What the index of a binhost says of the file of a package that is to be taken from it: place, size, digests."""
    if not packages.isremote(package.cpv):
        return {}
    row = packages._remotepkgs[packages.dbapi._instance_key(package.cpv)]
    wanted = ("BASE_URI", "PATH", "SIZE", "MD5", "SHA1", "SHA256", "SHA512", "BLAKE2B")
    return {name: str(row[name]) for name in wanted if name in row}
