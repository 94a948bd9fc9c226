"""Noise makes no winner, and what can't be told apart goes to whoever asks for less."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.measure import statistics
from edgekit.measure.results import Measurement, Quality, Start
from edgekit.metrics import Estimate
from edgekit.package.values import SessionChoice
from edgekit.tensors import RunFacts
from edgekit.tune.deciding import Decision, Entrant, decision, faster, front, loss
from edgekit.tune.ways import Way

STARTS, ROUNDS, CALLS = 5, 4, 8


def timings(ms: float, *, seed: int, noise: float = 0.05) -> Measurement:
    """Simulate a bench: noise a call, and a speed of its own a process."""
    generator = np.random.default_rng(seed)
    starts = []
    for _ in range(STARTS):
        own = ms * np.exp(noise * generator.standard_normal())
        rounds = own * np.exp(noise * generator.standard_normal((ROUNDS, CALLS))) * 1e6
        starts.append(Start(1, 1, 1, None, [], rounds.astype(int).tolist()))
    return Measurement(f"{seed}", RunFacts("cpu", "fp32", threads=1), starts, 1000)


def entrant(
    measured: Measurement,
    baseline: Measurement,
    *,
    name: str = "int8",
    quality: Quality | None = None,
    size_bytes: int = 1000,
    **session: object,
) -> Entrant:
    speedup = statistics.speedup(
        [start.rounds for start in baseline.starts], [start.rounds for start in measured.starts]
    )
    way = Way(name, SessionChoice(**session))  # type: ignore[arg-type]
    return Entrant(way, measured, speedup, quality, size_bytes)


@given(
    st.lists(st.floats(1.0, 4.0), min_size=1, max_size=4),
    st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_what_is_no_faster_than_float_never_wins(slower: list[float], seed: int) -> None:
    """The very same speed could win by noise; what is 10 % slower or more must not."""
    baseline = timings(1.0, seed=seed)
    field = [
        entrant(timings(1.1 * factor, seed=seed + i + 1), baseline)
        for i, factor in enumerate(slower)
    ]
    assert decision(field).winner is None


def test_noise_alone_seldom_makes_a_winner() -> None:
    tries = [
        decision([entrant(timings(1.0, seed=2 * n), timings(1.0, seed=2 * n + 1))]).winner
        for n in range(200)
    ]
    assert sum(found is not None for found in tries) <= 10


def test_the_fastest_wins_where_it_can_be_told() -> None:
    baseline = timings(1.0, seed=0)
    slow = entrant(timings(0.8, seed=1), baseline, name="slow")
    fast = entrant(timings(0.4, seed=2), baseline, name="fast")
    assert decision([slow, fast]) == Decision(fast)
    assert decision([]) == Decision()


def test_of_those_that_cannot_be_told_apart_the_least_demanding_wins() -> None:
    baseline, same = timings(1.0, seed=0), timings(0.5, seed=1)
    spinning = entrant(timings(0.495, seed=1), baseline, name="same", idle="spin")
    large = entrant(same, baseline, name="large", size_bytes=9000)
    plain = entrant(same, baseline, name="plain")
    assert decision([spinning, large, plain]) == Decision(plain, (spinning, large))


def test_what_was_chosen_before_stays_until_something_is_faster_by_more_than_noise() -> None:
    baseline, same = timings(1.0, seed=0), timings(0.5, seed=1)
    spinning = entrant(same, baseline, name="same", idle="spin")
    plain = entrant(timings(0.495, seed=1), baseline, name="plain")
    fast = entrant(timings(0.25, seed=2), baseline, name="fast")
    before = spinning.way.label
    assert decision([spinning, plain]).winner is plain
    assert decision([spinning, plain], before=before) == Decision(spinning, stayed=True)
    assert decision([spinning, plain, fast], before=before) == Decision(fast)
    assert not decision([spinning], before=before).stayed, "it would have won anyway"
    near = entrant(timings(1.0, seed=3, noise=0.3), baseline, name="near")
    assert near.speedup.low < 1 < near.speedup.high
    assert decision([near]).winner is None
    assert decision([near], before=near.way.label).winner is near
    slow = entrant(timings(2.0, seed=3), baseline, name="slow")
    assert decision([slow], before=slow.way.label).winner is None, "float is faster"


def test_those_of_different_groups_are_compared_by_what_each_is_against_the_baseline() -> None:
    """The starts of a group that ended early are fewer, and its rounds are its own."""
    first, second = timings(1.0, seed=0), timings(1.0, seed=3)
    short = msgspec.structs.replace(timings(0.8, seed=4), starts=timings(0.8, seed=4).starts[:3])
    held_to = msgspec.structs.replace(second, starts=second.starts[:3])
    fast = entrant(timings(0.3, seed=1), first, name="fast", idle="spin")
    slow = msgspec.structs.replace(entrant(short, held_to, name="slow"), group=1)
    assert decision([fast, slow]) == Decision(fast)
    near = msgspec.structs.replace(fast, way=slow.way, measured=short, group=1)
    assert decision([fast, near]) == Decision(near, (fast,))


def test_a_gain_below_two_percent_is_none() -> None:
    assert not faster(Estimate(1.01, 1.005, 1.02, 5, "t"))
    assert not faster(Estimate(1.4, 0.99, 1.9, 5, "t"))
    assert faster(Estimate(1.1, 1.01, 1.2, 5, "t"))


def test_loss_is_that_of_the_most_telling_figure() -> None:
    one = Estimate(0.9, 0.8, 1.0, 10, "t")
    quality = Quality("digits", 10, "key", cosine=one)
    assert loss(None) == 0
    assert abs(loss(quality) - 0.1) < 1e-12
    with_drop = Quality("digits", 10, "key", cosine=one, drop=Estimate(0.3, 0, 1, 10, "t"))
    assert loss(with_drop) == 0.3


points = st.dictionaries(
    st.text(min_size=1, max_size=3),
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
    min_size=1,
    max_size=12,
)


@given(points)
def test_nobody_on_the_front_is_beaten_and_everyone_else_is(
    points: dict[str, tuple[int, int, int]],
) -> None:
    found = front({name: (float(a), float(b), c) for name, (a, b, c) in points.items()})
    assert found
    for name, point in points.items():
        beaten = any(
            other != point and all(a <= b for a, b in zip(other, point, strict=True))
            for other in points.values()
        )
        assert (name in found) != beaten
