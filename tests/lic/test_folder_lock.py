"""A folder that one process at a time trains in."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lic import folder_lock
from lic.errors import UsageError
from tests.scripts import ROOT

HOLDER = """
import sys, time
from lic import folder_lock
with folder_lock.held(sys.argv[1]):
    print("holding", flush=True)
    time.sleep(60)
"""


def test_folder_that_another_process_holds_is_refused_until_that_one_ends_however_it_ends(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"holding\n"
        with pytest.raises(UsageError, match=f"another run trains in '{tmp_path}' now: wait for its end"):
            folder_lock.held(str(tmp_path)).__enter__()
        other.kill()
        other.wait()
    with folder_lock.held(str(tmp_path)):
        pass
    assert not list(tmp_path.iterdir())


def test_folder_is_free_again_after_an_error_and_a_missing_one_is_free(tmp_path):
    with pytest.raises(ValueError), folder_lock.held(str(tmp_path)):
        raise ValueError
    with folder_lock.held(str(tmp_path)), folder_lock.held(str(tmp_path / "nowhere")), pytest.raises(UsageError):
        folder_lock.held(str(tmp_path)).__enter__()


def test_lock_of_a_folder_that_is_made_later_is_taken_then_and_ends_with_whoever_has_it(tmp_path):
    lock = folder_lock.Lock(str(tmp_path / "new"))
    lock.take()
    (tmp_path / "new").mkdir()
    with folder_lock.held(str(tmp_path / "new")), pytest.raises(UsageError):
        lock.take()
    for _ in range(2):
        lock.take()
        with pytest.raises(UsageError):
            folder_lock.held(str(tmp_path / "new")).__enter__()
    del lock
    with folder_lock.held(str(tmp_path / "new")):
        pass
