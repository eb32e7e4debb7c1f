"""The tiles of an OME-TIFF: what TIFF allows, and the size that is chosen automatically."""

from __future__ import annotations

from typing import Any

# lengths of tiles: with the largest, a tile of the largest pixels is below the 2 GiB that codecs accept
_LENGTHS = range(16, 8192 + 1, 16)
_MAX_AUTO_LENGTH = 512
_MIN_AUTO_SIDE = 64  # of a plane; otherwise much of its tiles would be padding


def read_tile(value: Any) -> Any:
    """Return a tile (y, x) for the input of a setting; ValueError if TIFF does not allow it."""
    tile = (value, value) if isinstance(value, int) else value
    is_pair = isinstance(tile, (tuple, list)) and [type(n) for n in tile] == [int, int]
    if not is_pair or all(n in _LENGTHS for n in tile):
        return tile
    nearest = [
        tuple(min(max(n + add, 16), _LENGTHS[-1]) // 16 * 16 for n in tile) for add in (0, 15)
    ]
    got, low, high = (t[0] if tile[0] == tile[1] else t for t in (tile, *nearest))
    raise ValueError(
        f"must be multiples of 16 from 16 to {_LENGTHS[-1]}, as TIFF requires, got {got}. "
        f"Set {low}{'' if low == high else f' or {high}'}, or None for no tiles."
    )


def automatic_tile(y: int, x: int) -> tuple[int, int]:
    """Return (y, x) of the tiles of a plane: the fewest equal ones of at most 512 x 512, with little padding."""
    return (y, x) if min(y, x) < _MIN_AUTO_SIDE else (_even(y), _even(x))


def _even(extent: int) -> int:
    count = -(-extent // _MAX_AUTO_LENGTH)
    return -(-extent // (count * 16)) * 16
