"""Standard error, which one may silence while others have something to say."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.scripts import ROOT

SAYING = """
import os, sys, threading
from lic import stderr
from lic.cli import notes
within, over = threading.Event(), threading.Event()

def work():
    with stderr.silent():
        within.set()
        os.write(2, b"libtiff complains\\n")
        over.wait(1)

worker = threading.Thread(target=work)
worker.start()
within.wait()
for number in range(3):
    notes.note(f"line {number}")
worker.join()
os.write(2, b"and libtiff again\\n")
"""


def test_what_is_told_while_another_thread_is_silent_is_told_afterwards():
    done = subprocess.run([sys.executable, "-c", SAYING], capture_output=True, text=True, timeout=60, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stderr.split("\n") == ["line 0", "line 1", "line 2", "and libtiff again", ""]
