"""Ctrl-C while a run works."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from lic import interrupts
from tests.scripts import ROOT


def test_second_ctrl_c_does_not_wait():
    before = signal.getsignal(signal.SIGINT)
    with interrupts.Interrupts() as heard:
        signal.raise_signal(signal.SIGTERM)
        assert heard.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def in_the_background():
    """Ctrl-C is ignored, as where a script of a shell started this process with an ampersand."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_signal_that_is_ignored_stays_so_and_the_other_is_heard(in_the_background):
    assert interrupts.heard() == [signal.SIGTERM]
    with interrupts.Interrupts() as heard:
        signal.raise_signal(signal.SIGINT)
        assert not heard.asked
        with interrupts.killed_at_once((signal.SIGINT,)):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert heard.asked
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize("number", interrupts.BOTH)
def test_long_wait_outside_of_python_is_ended_at_once(number):
    waiting = ("import signal\nfrom lic import interrupts\nwith interrupts.Interrupts(), interrupts.killed_at_once():\n"
               f"    signal.raise_signal({int(number)})\n")
    assert subprocess.run([sys.executable, "-c", waiting], cwd=ROOT, timeout=60).returncode == -number
