"""Stores the graphs of models beside their weights anew: after a change of what the code computes, or of weights.

    python -m tools.store_graphs                 # of the bundled models
    python -m tools.store_graphs FOLDER [FOLDER ...]
"""

from __future__ import annotations

import argparse
import os

import config
from lic import environment, resources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", default=[resources.bundled(s) for s in config.PRESETS])
    folders = parser.parse_args().folders
    environment.prepare()
    from lic import graph_storing, stored_graph
    for folder in folders:
        graph_storing.save(folder)
        print(f"{folder}: {os.path.getsize(os.path.join(folder, stored_graph.FILE)):,} bytes")


if __name__ == "__main__":
    main()
