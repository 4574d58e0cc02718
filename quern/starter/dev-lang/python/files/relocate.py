"""Replace folder names in a _sysconfigdata module: relocate.py FILE [OLD NEW]..."""

import pprint
import runpy
import sys

path, *moves = sys.argv[1:]
variables = runpy.run_path(path)["build_time_vars"]
for old, new in zip(moves[::2], moves[1::2]):
    variables = {
        name: value.replace(old, new) if isinstance(value, str) else value for name, value in variables.items()
    }
with open(path, "w", encoding="utf-8") as stream:
    stream.write("# system configuration generated and used by the sysconfig module\nbuild_time_vars = ")
    pprint.pprint(variables, stream=stream)
