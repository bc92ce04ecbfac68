"""A process that does work of a pipeline on this machine: Beam's, but it logs nothing but errors.

    python -m lic.corpus.worker    # by `lic.corpus --workers`; where its work comes from stands in its environment
"""

from __future__ import annotations

import logging
import sys


def main() -> None:
    """Works until there is nothing left to do."""
    logging.basicConfig()   # before Beam, which would have a handler of its own, and sets the level of them all
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.ERROR)
    from apache_beam.runners.worker import sdk_worker_main
    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main()
