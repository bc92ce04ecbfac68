"""Whether something handed in from Python is the number that it should be; NumPy's count, too."""

from __future__ import annotations

import numbers


def is_number(value: object) -> bool:
    return isinstance(value, numbers.Real)


def is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral)
