"""A pytest plugin that ends a run in time: `python -m pytest -p tools.deadline`.

PYTEST_DEADLINE in the environment is the time, in seconds since 1970. A test that would begin after it is skipped, one
that is running then is cut off and counted as skipped; so failures stay failures, and pytest writes its closing line.

Gotcha: Python handles signals between two bytecodes. A single TensorFlow operation runs to its end first.
"""

from __future__ import annotations

import os
import signal
import time

import pytest


def _left() -> float:
    return float(os.environ.get("PYTEST_DEADLINE", "inf")) - time.time()


def _cut_off(*_):
    pytest.skip("cut off: the time for slow tests is over")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    """Skips an item, or runs it under an alarm."""
    left = _left()
    if left <= 0:
        item.add_marker(pytest.mark.skip(reason="not begun: the time for slow tests is over"))
    return (yield)


def _under_alarm():
    left = _left()
    before = signal.getsignal(signal.SIGALRM)
    if left == float("inf") or before is _cut_off:  # a test that asks for a fixture while it runs has its alarm already
        return (yield)
    signal.signal(signal.SIGALRM, _cut_off)
    signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3))
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """Fixtures train models too."""
    return (yield from _under_alarm())


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem):
    """The test itself."""
    return (yield from _under_alarm())
