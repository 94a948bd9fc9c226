"""What is reserved for the last race isn't used up before it."""

from __future__ import annotations

import pytest

from edgekit.tune.clock import Clock, TimeUp


def test_without_a_limit_there_is_always_time() -> None:
    clock = Clock()
    assert clock.has(1e9)
    clock.stopping(None)(1, 2)


def test_a_step_that_does_not_fit_in_front_of_what_is_reserved_is_refused() -> None:
    clock = Clock(100.0)
    clock.reserved_s = 60.0
    assert clock.has(30.0)
    assert not clock.has(50.0)
    assert 0 <= clock.took_s < 5


def test_progress_is_told_until_the_time_is_over() -> None:
    told: list[tuple[int, int]] = []
    clock = Clock(100.0)
    step = clock.stopping(lambda done, of: told.append((done, of)))
    step(1, 3)
    clock.reserved_s = 200.0
    with pytest.raises(TimeUp):
        step(2, 3)
    assert told == [(1, 3)]
