"""Print texts of a traces file, coloured by source (base red, oracle blue), or save one as a picture.

python scripts/show_guided.py traces.jsonl [--doc 3] [--svg picture.svg]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from rich.panel import Panel

from lmx_analysis.guided.text import coloured, read
from lmx_files.errors import UserError
from lmx_files.safety import terminal


def main() -> None:
    """Parse the arguments and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", type=Path)
    parser.add_argument("--doc", type=int, help="only this document")
    parser.add_argument("--svg", type=Path, help="save what is printed as a picture")
    options = parser.parse_args()
    console = terminal.console(record=options.svg is not None, width=100)
    for record in read(options.traces):
        if options.doc in (None, record["doc_id"]):
            console.print(Panel(coloured(record), title=f"{record['task']} {record['doc_id']}: base red, oracle blue"))
    if options.svg:
        # Without rich's web fonts: a picture must not fetch anything when it is looked at.
        picture = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="guided decoding"), flags=re.DOTALL)
        options.svg.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"lmx: error: {error}")
