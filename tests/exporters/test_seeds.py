from __future__ import annotations

import random

import numpy as np
import torch

from exporters.seeds import callers_generators_kept, seed_everything


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def test_a_seed_decides_every_generator() -> None:
    with callers_generators_kept():
        seed_everything(3)
        first = draw()
        seed_everything(4)
        other = draw()
        seed_everything(3)
        assert draw() == first
        assert all(a != b for a, b in zip(first, other, strict=True))


def test_a_seed_may_be_larger_than_numpy_s() -> None:
    with callers_generators_kept():
        seed_everything(2**40)
        assert all(0 <= value < 1 for value in draw())


def test_the_caller_s_generators_go_on_as_if_nothing_had_been_drawn() -> None:
    with callers_generators_kept():
        seed_everything(5)
        draw()
        undisturbed = draw()
        seed_everything(5)
        draw()
        with callers_generators_kept():
            seed_everything(6)
            draw()
        assert draw() == undisturbed


def test_the_caller_s_generators_are_kept_when_it_fails() -> None:
    before = random.getstate()
    try:
        with callers_generators_kept():
            seed_everything(6)
            raise ValueError
    except ValueError:
        assert random.getstate() == before
