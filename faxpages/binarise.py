"""Grey into black and white: a threshold for text and lines, dots for photographs. Pure."""

from typing import Any

import numpy
from PIL import Image

Grey = Any
"""numpy array of uint8, rows by columns, 0 is black."""

BLOCK = 32
DARK, LIGHT = 40, 215
"""Between them grey is neither ink nor paper."""

MIDDLING = 0.45
"""Share of a block that is grey where there is a photograph; the edges of small print have less."""
ALSO_MIDDLING = 0.2
"""Enough beside a photograph."""

TINTED = 0.6
"""Share of a block that is neither quite black nor quite white: beside a photograph
it is its dark or light end."""

REACH = 4
"""How many blocks far a photograph may go on so."""

INK_BELOW = 150
"""Above the middle: thin lines stay."""

_DOTS = numpy.array(
    [
        [24, 10, 12, 26, 35, 47, 49, 37],
        [8, 0, 2, 14, 45, 59, 61, 51],
        [22, 6, 4, 16, 43, 57, 63, 53],
        [30, 20, 18, 28, 33, 41, 55, 39],
        [34, 46, 48, 36, 25, 11, 13, 27],
        [44, 58, 60, 50, 9, 1, 3, 15],
        [42, 56, 62, 52, 23, 7, 5, 17],
        [32, 40, 54, 38, 31, 21, 19, 29],
    ]
)
_INK_BELOW_IN_DOTS = (255 - (_DOTS * 4 + 2)).astype(numpy.uint8)
"""Dots that grow from two centres in eight by eight: few long runs, which G4 packs well."""


def black_and_white(grey: Grey) -> Image.Image:
    """A picture of mode "1", as large as `grey`."""
    paper = grey >= INK_BELOW
    photographs = photograph_blocks(grey)
    if photographs.any():
        rows, columns = grey.shape
        dots = numpy.tile(_INK_BELOW_IN_DOTS, (rows // 8 + 1, columns // 8 + 1))[:rows, :columns]
        spread = photographs.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)[:rows, :columns]
        paper = numpy.where(spread, grey > dots, paper)
    return Image.fromarray(paper)


def photograph_blocks(grey: Grey) -> Any:
    """Which blocks of the page are part of a photograph: bool, a value for each block."""
    sure = _share(grey, DARK, LIGHT) > MIDDLING
    if not sure.any():
        return sure
    perhaps = (_share(grey, DARK, LIGHT) > ALSO_MIDDLING) | (_share(grey, 4, 251) > TINTED)
    for _ in range(REACH):
        around = numpy.pad(sure, 1)
        beside = around[:-2, 1:-1] | around[2:, 1:-1] | around[1:-1, :-2] | around[1:-1, 2:]
        sure = sure | (beside & perhaps)
    return sure


def _share(grey: Grey, above: int, below: int) -> Any:
    """Of each block, how much of it is between the two."""
    rows, columns = grey.shape
    high, wide = -(-rows // BLOCK), -(-columns // BLOCK)
    between = numpy.zeros((high * BLOCK, wide * BLOCK), dtype=bool)
    between[:rows, :columns] = (grey > above) & (grey < below)
    return between.reshape(high, BLOCK, wide, BLOCK).mean(axis=(1, 3))
