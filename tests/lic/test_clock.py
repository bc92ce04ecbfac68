"""How much of a sitting is gone."""

from __future__ import annotations

import time

from lic.clock import Clock


def test_clock_goes_from_nothing_to_all_of_its_minutes_and_never_without_a_limit(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    limited, unlimited = Clock(2.0), Clock(0.0)
    for seconds, gone, up in ((0, 0, False), (60, 0.5, False), (119, 119 / 120, False), (120, 1, True)):
        now[0] = 100.0 + seconds
        assert (limited.elapsed, limited.is_up) == (gone, up)
        assert (unlimited.elapsed, unlimited.is_up) == (0, False)
