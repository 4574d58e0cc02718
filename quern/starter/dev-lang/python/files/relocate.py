"""Replace a folder's name in a _sysconfigdata module: relocate.py OLD NEW FILE."""

import pprint
import runpy
import sys

old, new, path = sys.argv[1:]
variables = {
    name: value.replace(old, new) if isinstance(value, str) else value
    for name, value in runpy.run_path(path)["build_time_vars"].items()
}
with open(path, "w", encoding="utf-8") as stream:
    stream.write("# system configuration generated and used by the sysconfig module\nbuild_time_vars = ")
    pprint.pprint(variables, stream=stream)
