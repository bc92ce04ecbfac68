"""Ctrl-C and SIGTERM: which a process hears at all, and how they find a run between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from lic.errors import UserError

BOTH = (signal.SIGINT, signal.SIGTERM)


class Interrupted(UserError):
    """Somebody stopped a run; it was saved first (exit code 130)."""

    exit_code = 130


def heard(signals: tuple[signal.Signals, ...] = BOTH) -> list[signal.Signals]:
    """Those that are not ignored: a shell has what a script starts in the background ignore Ctrl-C."""
    return [each for each in signals if signal.getsignal(each) is not signal.SIG_IGN]


@contextlib.contextmanager
def heard_by(handler, signals: tuple[signal.Signals, ...] = BOTH) -> Iterator[None]:
    """While it is entered, the signals go to a handler; those that are ignored stay so."""
    here = threading.current_thread() is threading.main_thread()   # others may not set handlers
    before = {each: signal.signal(each, handler) for each in (heard(signals) if here else ())}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def killed_at_once(signals: tuple[signal.Signals, ...] = BOTH) -> contextlib.AbstractContextManager[None]:
    """While it is entered, the signals end the process: for a long wait in which Python hears of nothing."""
    return heard_by(signal.SIG_DFL, signals)


class Interrupts:
    """While it is entered, the first Ctrl-C (or SIGTERM) is only noted, so that it finds a run between two steps.

    The second acts at once.
    """

    def __init__(self):
        self.asked = False
        self._heard = heard_by(self._note)

    def __enter__(self):
        self._heard.__enter__()
        return self

    def __exit__(self, *error):
        self._heard.__exit__(*error)

    def _note(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
