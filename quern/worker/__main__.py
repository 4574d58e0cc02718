"""`python -I .../worker VERB`: one JSON object of parameters on stdin, one JSON object on stdout.

Runs beside the image root, on this machine or in a container that has nothing of quern but this folder. What the
user can put right comes back as {"error": message} with exit status 1; anything else keeps its traceback.
`fetch`, `emerge`, `merge`, `supervise`, `confine`, `shell`, `inside` and `guard` are different: they take words and
answer with an exit status. Portage calls the first; `emerge` and `supervise` are what containers start; `merge` fills
a root; `confine` is for commands that have no container; `shell` becomes one; the last two are for tests of an image,
without a container and with one.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import json
import os
import sys

# verb: its module; imported when called, because a call needs one of them
VERBS = {
    "prepare": "host",
    "resolve": "resolve",
    "merged": "vdb",
    "compare": "compare",
    "digest": "trees",
    "clone": "trees",
    "closure": "closure",
    "copy": "trees",
    "remove": "trees",
    "pack": "pack",
    "inventory": "inventory",
    "keyring": "signatures",
    "verify": "signatures",
    "unpack": "unpack",
}


def main() -> int:
    """Run the verb of the command line; returns the exit status."""
    verb, *words = sys.argv[1:]
    package = _load_package(os.path.dirname(os.path.abspath(__file__)))
    if verb == "fetch":
        return int(importlib.import_module(f"{package}.fetch").fetch(*words))
    if verb == "emerge":
        importlib.import_module(f"{package}.gentoo").emerge(*words)
    if verb == "merge":
        return int(importlib.import_module(f"{package}.merge").merge(*words))
    if verb == "shell":
        importlib.import_module(f"{package}.shell").shell(*words)
    if verb == "confine":
        return int(importlib.import_module(f"{package}.confine").confine(*words))
    if verb in ("inside", "guard"):
        return int(getattr(importlib.import_module(f"{package}.{verb}"), verb)(*words))
    if verb == "supervise":
        return int(importlib.import_module(f"{package}.supervise").supervise())
    error_class = importlib.import_module(package).WorkerError
    # what libraries print must not end up in the answer
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    parameters = json.load(sys.stdin)
    try:
        answer, status = getattr(importlib.import_module(f"{package}.{VERBS[verb]}"), verb)(**parameters), 0
    except error_class as error:
        answer, status = {"error": str(error)}, 1
    except OSError as error:
        # of two files, copying names the source first; what write(2) refuses, Python gives no name
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = _text((full and error.filename2) or error.filename or parameters.get("target")) or verb
        answer, status = {"error": f"{where}: {error.strerror or error}"}, 1
    json.dump(answer, answer_to)
    answer_to.close()
    return status


def _load_package(folder: str) -> str:
    """Make this folder a package, whatever it is called and wherever it is; returns the package's name.

    Not by a search path: beside this folder are modules of ours that are named like Portage's.
    """
    name = "quern_worker"
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder]
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return name


def _text(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else ""


if __name__ == "__main__":
    sys.exit(main())
