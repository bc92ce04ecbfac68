"""Ctrl-C while a run works."""

from __future__ import annotations

import signal

import pytest

from lic import training


def test_second_ctrl_c_does_not_wait():
    before = signal.getsignal(signal.SIGINT)
    with training.Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
