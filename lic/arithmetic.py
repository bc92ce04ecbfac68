"""How symbols are decided, and on what grid: the arithmetics that `--arithmetic` names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arithmetic:
    """How the symbols' distributions are computed, and how they are settled before coding.

    Attributes:
      name: as in `--arithmetic`.
      grid: locations and refined parts are rounded to multiples of it; None leaves them.
      round_index: whether the scale index is rounded to an integer.
      integers: whether hyper synthesis and context networks multiply integers (`lic.integers`). What they put out in
        float32 is the same everywhere then, and a tie as good as any other value; the rest is float64, nearly the same.
      margin: how close to a tie, in steps, a value in float64 may lie that is rounded; an encoder shifts the grid where
        one is closer.
    """

    name: str
    grid: float | None
    round_index: bool
    integers: bool = False
    margin: float = 0.0


# The margins are more than 680 times the largest difference that was measured in float64: res/doc/portability.md.
PORTABLE = Arithmetic("portable", 2.0 ** -8, True, integers=True, margin=2.0 ** -27)
CLOSER = 2 ** 4   # of the margin; values before products are fifty times as many, and may be as much closer to a tie
FLOAT32 = Arithmetic("float32", None, True)
CONTINUOUS = Arithmetic("continuous", None, False)   # what training sees
ARITHMETICS = {a.name: a for a in (PORTABLE, FLOAT32)}
