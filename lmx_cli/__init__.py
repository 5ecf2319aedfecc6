"""The `lmx` command. Nothing else may import it, and starting it imports neither torch nor transformers."""

import os
import sys

# ``python -m lmx_cli.main`` puts the current folder first, where a file may bear the name of a library. It stays if the
# user asked for it, or if lmx itself lies there. Nothing else has been imported yet.
if sys.argv[:1] == ["-m"] and sys.path[:1] == [os.getcwd()]:
    _asked = [os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if sys.path[0] not in (*_asked, os.path.dirname(os.path.dirname(os.path.abspath(__file__)))):
        del sys.path[0]
