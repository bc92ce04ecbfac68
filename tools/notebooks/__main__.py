"""Writes the notebooks from their one source and runs them from top to bottom: `python -m tools.notebooks`.

They are never edited by hand: three of them tell one story about three models, and would drift apart.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nbformat

from lic import files
from tools.notebooks import running, stories

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.split(":")[0],
                                     epilog="example: python -m tools.notebooks elic")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(stories.STORIES)} (default: all)",
                        default=list(stories.STORIES))
    for name in parser.parse_args().names:
        if name not in stories.STORIES:
            parser.error(f"there is no notebook '{name}': choose from {', '.join(stories.STORIES)}")
        print(f"{name} ...", flush=True)
        notebook = running.executed(stories.notebook(name))
        files.write_atomically(FOLDER / f"{name}.ipynb", nbformat.writes(notebook).encode() + b"\n")


if __name__ == "__main__":
    main()
