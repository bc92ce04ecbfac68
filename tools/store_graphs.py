"""Stores the graphs of models beside their weights anew: after a change of what the code computes, or of weights.

    python -m tools.store_graphs                 # of the bundled models
    python -m tools.store_graphs FOLDER [FOLDER ...]
"""

from __future__ import annotations

import os

import config
from lic import environment, resources
from tools import command_line


def main() -> None:
    parser = command_line.parser(__doc__, "store_graphs")
    parser.add_argument("folders", nargs="*", metavar="FOLDER", default=[resources.bundled(s) for s in config.PRESETS])
    folders = parser.parse_args().folders
    environment.prepare()
    from lic import graph_storing, stored_graph
    with command_line.told_in_a_line("store_graphs"):
        for folder in folders:
            graph_storing.save(folder)
            print(f"{folder}: {os.path.getsize(os.path.join(folder, stored_graph.FILE)):,} bytes")


if __name__ == "__main__":
    main()
