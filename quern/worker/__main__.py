"""`python -I .../worker VERB`: one JSON object of parameters on stdin, one JSON object on stdout.

Runs beside the image root, on this machine or in a container that has nothing of quern but this folder. What the
user can put right comes back as {"error": message} with exit status 1; anything else keeps its traceback.
`fetch` is different: Portage calls it, with words and an exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

# verb: its module; imported when called, because a call needs one of them
VERBS = {
    "resolve": "resolve",
    "merged": "vdb",
    "finish": "vdb",
    "digest": "trees",
    "clone": "trees",
    "copy": "trees",
    "remove": "trees",
    "pack": "pack",
}


def main() -> int:
    """Run the verb of the command line; returns the exit status."""
    verb, *words = sys.argv[1:]
    folder = os.path.dirname(os.path.abspath(__file__))
    # last, so that nothing beside this folder hides a module of the standard library or of Portage
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != folder] + [os.path.dirname(folder)]
    package = os.path.basename(folder)
    if verb == "fetch":
        return int(importlib.import_module(f"{package}.fetch").fetch(*words))
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
        answer, status = {"error": f"{_text(error.filename) or verb}: {error.strerror or error}"}, 1
    json.dump(answer, answer_to)
    answer_to.close()
    return status


def _text(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes)) else ""


if __name__ == "__main__":
    sys.exit(main())
