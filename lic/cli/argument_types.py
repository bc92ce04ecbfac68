"""What words on a command line may say: numbers of a range, crops, lists. Each raises what argparse tells in a line."""

from __future__ import annotations

import argparse
import math
from typing import Callable

import config


def crop(text: str) -> tuple[int, ...]:
    """ "x,y,width,height" as numbers; whether they fit is up to the picture."""
    numbers = tuple(int(word) for word in text.split(","))
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(f"'{text}' is not X,Y,WIDTH,HEIGHT")
    return numbers


crop.__name__ = "X,Y,W,H"   # argparse names it where a word is no number


def within(least: float, most: float) -> Callable[[str], float]:
    """A number of that range, above 0 and finite."""
    def number(text: str) -> float:
        value = float(text)
        if not (least <= value <= most and 0 < value < math.inf):
            bounds = "positive" if most == math.inf else f"within {least:g}..{most:g}"
            raise argparse.ArgumentTypeError(f"'{text}' is not {bounds}")
        return value

    number.__name__ = "number"   # argparse names it where a word is none
    return number


positive = within(0, math.inf)


def whole(least: int, most: int | None, name: str) -> Callable[[str], int]:
    """A whole number of that range, which may be open above; argparse calls it `name` where a word is none."""
    def number(text: str) -> int:
        value = int(text)
        if most is None and value < least:
            raise argparse.ArgumentTypeError(f"'{text}' is less than {least}")
        if most is not None and not least <= value <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not within {least}..{most}")
        return value

    number.__name__ = name
    return number


def qualities(text: str) -> tuple[float, ...]:
    """ "10,30,50" as numbers of 1..100."""
    numbers = tuple(float(word) for word in text.split(","))
    least, most = config.QUALITIES
    if not all(least <= number <= most for number in numbers):
        raise argparse.ArgumentTypeError(f"'{text}' holds a quality outside {least:g}..{most:g}")
    return numbers


qualities.__name__ = "Q,Q,..."


def place(text: str) -> str:
    """A path; an empty one, as of a variable of the shell that is not set, is none."""
    if not text:
        raise argparse.ArgumentTypeError("an empty name is given")
    return text


def names(text: str) -> tuple[str, ...]:
    """ "jpeg,webp" as names; none for an empty text."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
