"""How long a search has taken, and how long it may still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class TimeUp(Exception):
    """There is no time left: what was under way is given up, and what was found before stands.

    No EdgekitError: a bench that leaves out a candidate which failed must not take it for one.
    """


class Clock:
    """The time of one search. `limit_s` None is without a limit.

    What makes a variant may use the time up to `reserved_s` before the end, so that there is
    always a last race.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self.limit_s = limit_s
        self.reserved_s = 0.0
        self._began_s = time.monotonic()

    @property
    def took_s(self) -> float:
        """Say how long it has taken so far."""
        return time.monotonic() - self._began_s

    @property
    def left_s(self) -> float:
        """Say how long is left, infinity without a limit."""
        return math.inf if self.limit_s is None else self.limit_s - self.took_s

    def has(self, needed_s: float) -> bool:
        """Tell whether a step of so long fits in front of what is reserved."""
        return needed_s <= self.left_s - self.reserved_s

    def stopping(self, progress: Callable[[int, int], None] | None) -> Callable[[int, int], None]:
        """Wrap a progress callback so that it raises TimeUp once only what is reserved is left."""

        def step(done: int, of: int) -> None:
            if self.left_s < self.reserved_s:
                raise TimeUp
            if progress is not None:
                progress(done, of)

        return step
