"""Ctrl-C and SIGTERM, which find a run between two steps."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from lic.errors import UserError


class Interrupted(UserError):
    """Somebody stopped a run; it was saved first (exit code 130)."""

    exit_code = 130


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """While it lasts, Ctrl-C ends the process at once: for a long wait within TensorFlow, when Python hears of nothing.

    SIGTERM is not heard then: TensorFlow sets a handler of its own, which does nothing.
    """
    heard = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL) if heard else None
    try:
        yield
    finally:
        if heard:
            signal.signal(signal.SIGINT, before)


class Interrupts:
    """While it is entered, the first Ctrl-C (or SIGTERM) is only noted, so that it finds a run between two steps.

    The second acts at once.
    """

    def __init__(self):
        self.asked = False
        self._before: dict = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            self._before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
