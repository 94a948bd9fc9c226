"""Attempts in worker processes, all of them together within one limit of time."""

from __future__ import annotations

import time
from typing import Any

from edgekit.errors import WorkerTimeout
from edgekit.workers import Call, Worker
from exporters.requests import Attempt


class Deadline:
    """A limit of time that several workers share; it runs from when it is made."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._end = time.monotonic() + limit_s

    def left_s(self) -> float:
        """Return the seconds that are left, at least a thousandth."""
        return max(self._end - time.monotonic(), 1e-3)


def attempt_in_worker(
    function: str, arguments: dict[str, Any], *, what: str, deadline: Deadline
) -> Attempt:
    """Make one attempt in a process of its own, since an export can poison the next one.

    Raises:
        WorkerTimeout: all attempts together took longer than the limit.
        WorkerDied: the process ended without an answer.
        What the function raised.
    """
    try:
        with Worker(what, wall_s=deadline.left_s()) as worker:
            return worker.call(Call(function, arguments), returns=Attempt)
    except WorkerTimeout as error:
        raise WorkerTimeout(what=what, limit_s=deadline.limit_s) from error
