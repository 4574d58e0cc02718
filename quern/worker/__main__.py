"""`python -I -B .../worker [--parent=PID] VERB`: one JSON object of parameters on stdin, one JSON object on stdout.

Runs beside the image root, on this machine or in a container that has nothing of quern but this folder. What the
user can put right comes back as {"error": message} with exit status 1; anything else keeps its traceback.
Those of WORDS are different: they take words and answer with an exit status. Those of STREAMS write bytes to stdout,
and the answer as the last line of stderr. With a PID it ends with that process.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable

# verb: its module; imported when called, because a call needs one of them
VERBS = {
    "prepare": "host",
    "resolve": "resolve",
    "compare": "compare",
    "digest": "trees",
    "clone": "trees",
    "closure": "closure",
    "starting": "starting",
    "layer": "finished",
    "remove": "trees",
    "inventory": "inventory",
    "sizes": "inventory",
    "whose": "whose",
    "described": "vdb",
    "keyring": "signatures",
    "verify": "signatures",
    "unpack": "unpack",
}
# the same for those that write bytes
STREAMS = {
    "pack": "pack",
}
# the same for those that take words
WORDS = {
    "emerge": "settings",
    "merge": "merge",  # fills a root
    "build": "build",  # builds a package
    "package": "package_phase",  # writes it, in place of a program of Portage's
    "strip": "strip",
    "start": "start",  # for commands that are not confined
    "confine": "confine",
    "shell": "shell",
    "supervise": "supervise",  # what a container of a builder starts
    "inside": "inside",  # for tests of an image, without a container
    "guard": "guard",  # and with one
}


def main() -> int:
    """Run the verb of the command line; returns the exit status."""
    words = sys.argv[1:]
    package = _load_package(os.path.dirname(os.path.abspath(__file__)))
    if words[0].startswith("--parent="):
        importlib.import_module(f"{package}.start").begin(int(words.pop(0).partition("=")[2]))
    verb = words.pop(0)
    error_class = importlib.import_module(package).WorkerError
    if verb in STREAMS:
        return _stream(package, verb, error_class)
    if verb not in WORDS:
        return _answer(package, verb, error_class)
    try:
        return int(getattr(importlib.import_module(f"{package}.{WORDS[verb]}"), verb)(*words))
    except error_class as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{_text(error.filename) or verb}: {error.strerror or error}", file=sys.stderr)
    return 1


def _answer(package: str, verb: str, error_class: type[Exception]) -> int:
    """Read parameters, and write the answer of a verb."""
    # what libraries print must not end up in the answer
    answer_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    answer, status = _called(f"{package}.{VERBS[verb]}", verb, error_class)
    json.dump(answer, answer_to)
    answer_to.close()
    return status


def _stream(package: str, verb: str, error_class: type[Exception]) -> int:
    """Read parameters, and write what a verb makes, and its answer."""
    output = os.fdopen(os.dup(1), "wb", 1 << 20)
    os.dup2(2, 1)

    def finished(function: Callable[..., object], **parameters: object) -> object:
        answer = function(output.write, **parameters)
        output.flush()
        return answer

    answer, status = _called(f"{package}.{STREAMS[verb]}", verb, error_class, finished)
    print(f"\n{json.dumps(answer)}", file=sys.stderr)
    if status:
        os._exit(status)  # what is left to be written is worth nothing
    return status


def _called(
    module: str,
    verb: str,
    error_class: type[Exception],
    call: Callable[..., object] = lambda function, **parameters: function(**parameters),
) -> tuple[object, int]:
    """What a verb answers to the parameters on stdin, and the exit status."""
    parameters = json.load(sys.stdin)
    try:
        return call(getattr(importlib.import_module(module), verb), **parameters), 0
    except error_class as error:
        return {"error": str(error)}, 1
    except OSError as error:
        # of two files, copying names the source first; what write(2) refuses, Python gives no name
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = _text((full and error.filename2) or error.filename or parameters.get("target")) or verb
        return {"error": f"{where}: {error.strerror or error}"}, 1


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
