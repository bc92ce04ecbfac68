"""How long a sitting may take."""

from __future__ import annotations

import time


class Clock:
    """The minutes since it was made, of so many; no limit where that is 0."""

    def __init__(self, minutes: float):
        self._seconds, self._start = 60 * minutes, time.monotonic()

    @property
    def elapsed(self) -> float:
        """The part that is gone; 0 without a limit."""
        return (time.monotonic() - self._start) / self._seconds if self._seconds else 0.0

    @property
    def is_up(self) -> bool:
        """Whether all of it is gone."""
        return self.elapsed >= 1
