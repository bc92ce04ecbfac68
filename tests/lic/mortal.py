"""Runs Python, as `mortal.py ARGUMENTS`, so that closed doors are closed to it though root has started it.

A process of its own: code between a test's `fork` and `exec` would run under the fork handlers of gRPC.
"""

from __future__ import annotations

import ctypes
import os
import sys

BOUNDING_SET_DROP, WALK_THROUGH, LOOK_THROUGH = 24, 1, 2   # of prctl; capabilities


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (WALK_THROUGH, LOOK_THROUGH):
        # The right does not outlive the exec below.
        if libc.prctl(BOUNDING_SET_DROP, capability, 0, 0, 0) and os.geteuid() == 0:
            raise OSError(ctypes.get_errno(), "this root can't be made a mortal")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


if __name__ == "__main__":
    main()
