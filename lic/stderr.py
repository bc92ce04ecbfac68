"""Standard error belongs to the whole process: who makes it silent for a while has it alone."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

ALONE = threading.Lock()   # held also by whoever has something to say there


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """What C code says in here goes nowhere."""
    with ALONE:
        try:
            stderr = os.dup(2)
        except OSError:   # there is none
            yield
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
