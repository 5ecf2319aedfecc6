"""`lmx mediate` as a script: python scripts/mediation.py RUN -o FOLDER; see docs/analyses/mediation.md."""

import sys

from lmx_cli.main import main

if __name__ == "__main__":
    sys.argv[1:1] = ["mediate"]
    main()
