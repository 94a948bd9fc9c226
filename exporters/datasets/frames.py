"""Drawn frames of moving squares: no game's, but like a game's in size, in grey and in motion.

Synthetic, since no registry package ships frames of a game. They tell whether two networks act
alike, not whether either plays well.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FRAMES = 4
SIDE = 84
VALUES = (0, 255)
_SQUARES = 4
_SMALLEST, _LARGEST = 2, 9
_FASTEST = 4


def stacks(count: int, *, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Draw `count` stacks of four frames one after the other, uint8 of [4, 84, 84], 0 is black.

    Four squares of 2 to 9 pixels, each with a grey and a speed of its own (up to 4 pixels a frame),
    which stop at the edges.
    """
    # RandomState's stream is promised never to change (NEP 19); that of Generator may.
    random = np.random.RandomState(seed)
    for _ in range(count):
        stack = np.zeros((FRAMES, SIDE, SIDE), np.uint8)
        for _ in range(_SQUARES):
            size = random.randint(_SMALLEST, _LARGEST + 1)
            place = random.randint(0, SIDE - size + 1, 2)
            speed = random.randint(-_FASTEST, _FASTEST + 1, 2)
            grey = random.randint(64, 256)
            for time in range(FRAMES):
                top, left = np.clip(place + time * speed, 0, SIDE - size)
                stack[time, top : top + size, left : left + size] = grey
        yield stack
