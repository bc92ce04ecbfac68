"""Where the tiles of a large picture lie, and what of their surroundings the transforms see. Pure geometry.

    ┌────┬────┬──┐   The tiles of a picture are of one size, but for those at its right and bottom. Each is coded
    │ 0  │ 1  │2 │   by itself. Analysis and synthesis look MARGIN pixels beyond a tile, so that next to a seam they
    ├────┼────┼──┤   see what they would see without one.
    │ 3  │ 4  │5 │
    └────┴────┴──┘

Gotcha: tiles and windows begin at multiples of ALIGN, the side of the largest attention window in pixels (8 x 8 at
1/16), so that attention windows lie in each window of a picture as they lie in the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lic.errors import UsageError
from lic.kinds import is_whole

STRIDE = 64          # pixels of the picture for each of z
LATENT_STRIDE = 16   # and for each of y
ALIGN = 128   # pixels
MARGIN = 128  # pixels; a multiple of ALIGN


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts it out of an array (h, w, ...)."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def meet(self, other: Box) -> Box | None:
        """What two boxes share, or None."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        height, width = min(self.bottom, other.bottom) - top, min(self.right, other.right) - left
        return Box(top, left, height, width) if height > 0 and width > 0 else None

    def within(self, other: Box) -> Box:
        """The same box, counted from the corner of another."""
        return Box(self.top - other.top, self.left - other.left, self.height, self.width)

    def around(self, margin: int, limit: Box) -> Box:
        """The box with a margin on all sides, on the grid of ALIGN, as far as the limit goes."""
        top, left = (max(0, side - margin) // ALIGN * ALIGN for side in (self.top, self.left))
        bottom, right = (_ceil(side + margin, ALIGN) * ALIGN for side in (self.bottom, self.right))
        return Box(top, left, min(bottom, limit.bottom) - top, min(right, limit.right) - left)


class Tiling:
    """The tiles of a picture, row by row.

    Args:
      height, width: of the picture.
      tile: (height, width) of a tile; None for one tile that is the picture.
    """

    def __init__(self, height: int, width: int, tile: tuple[int, int] | None):
        self.picture = Box(0, 0, height, width)
        self.tile = tile or (height, width)
        self.rows, self.columns = _ceil(height, self.tile[0]), _ceil(width, self.tile[1])

    def __len__(self):
        return self.rows * self.columns

    def __getitem__(self, number: int) -> Box:
        """The box of a tile."""
        row, column = divmod(number, self.columns)
        inside = self.picture.meet(Box(row * self.tile[0], column * self.tile[1], *self.tile))
        assert inside is not None
        return inside

    def __iter__(self) -> Iterator[Box]:
        return (self[i] for i in range(len(self)))

    def window(self, box: Box) -> Box:
        """What the transforms see to code or to show a box of the picture."""
        return box.around(MARGIN, self.picture)

    def touching(self, box: Box) -> list[int]:
        """The numbers of the tiles that a box meets."""
        rows = range(box.top // self.tile[0], (box.bottom - 1) // self.tile[0] + 1)
        columns = range(box.left // self.tile[1], (box.right - 1) // self.tile[1] + 1)
        return [row * self.columns + column for row in rows for column in columns]


def check_side(side: int) -> None:
    """Raises a UsageError for a side of tiles that is neither 0 nor a multiple of ALIGN."""
    if not is_whole(side) or side < 0 or side % ALIGN:
        raise UsageError(f"the side of a tile is a multiple of {ALIGN} pixels, or 0 for no tiles, not {side}")


def fits_whole(height, width, side: int):
    """Whether a picture, padded to whole strides, is no larger than a tile of that side with its margins.

    It takes no more memory then. Works on ints and on int64 tensors alike.
    """
    return _ceil(height, STRIDE) * _ceil(width, STRIDE) * STRIDE ** 2 <= (side + 2 * MARGIN) ** 2


def tile_of(height, width, side):
    """The (height, width) of the tiles of a picture, even in size and no larger than `side` both ways.

    Works on ints and on int32 tensors alike, for exported models choose their tiles in the graph.
    """
    return tuple(_ceil(_ceil(size, _ceil(size, side)), ALIGN) * ALIGN for size in (height, width))


def _ceil(a, b):
    """a / b, rounded up."""
    return -(-a // b)
