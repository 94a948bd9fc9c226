"""What a runner keeps of a model's answers, against numpy over all of them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgekit.errors import InputError, ModelFileError
from edgekit.runtime.folding import BLOCK, Fold, count, folded, open_folding


def counted(low: float, high: float, *answers: Any, bins: int = 8) -> list[int]:
    kept = None
    for answer in answers:
        kept = folded(kept, np.asarray(answer, np.float32), fold=Fold("histogram", low, high, bins))
    assert kept is not None
    return list(kept)


@given(
    st.lists(
        arrays.arrays(
            np.float32,
            arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
            # Multiples of a quarter of a bin, so that every edge is exact in float32.
            elements=st.integers(-40, 40).map(lambda n: n / 8),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(deadline=None)
def test_counts_are_numpy_s_over_all_answers_at_once(answers: list[Any]) -> None:
    everything = np.concatenate([answer.reshape(-1) for answer in answers])
    expected, _ = np.histogram(everything, bins=16, range=(-4, 4))
    assert counted(-4, 4, *answers, bins=16) == list(expected)


def test_a_long_answer_is_counted_whole() -> None:
    answer = np.random.default_rng(0).normal(size=(3, BLOCK)).astype(np.float32)
    low, high = float(answer.min()), float(answer.max())
    found = counted(low, high, answer, bins=4096)
    expected, _ = np.histogram(answer, bins=4096, range=(low, high))
    assert sum(found) == answer.size
    # A number beside an edge may fall to its other side: one in a thousand does.
    assert np.abs(np.cumsum(found) - np.cumsum(expected)).max() <= 20


def test_what_lies_outside_and_what_is_no_number_is_left_out() -> None:
    lowest = np.finfo(np.float32).min
    assert counted(0, 8, [-1, 0, 7.5, 8, 9, np.nan, np.inf, -np.inf, lowest]) == [1, *[0] * 6, 2]


def test_extremes_and_sums_are_folded_an_element_at_a_time() -> None:
    answers = [np.array([1, -2], np.float32), np.array([-3, 5], np.float32)]
    for kind, expected in (("min", [-3, -2]), ("max", [1, 5]), ("sum", [-2, 3])):
        kept: Any = None
        for answer in answers:
            kept = folded(kept, answer, fold=Fold(kind))  # type: ignore[arg-type]
        assert list(kept) == expected


def test_a_sum_of_many_loses_no_small_terms() -> None:
    kept = folded(None, np.array(2**24, np.float32), fold=Fold("sum"))
    for _ in range(10):
        kept = folded(kept, np.array(1, np.float32), fold=Fold("sum"))
    assert kept == 2**24 + 10


def test_counting_adds_to_what_is_there() -> None:
    counts = np.array([1, 1])
    count(np.array([0, 1, 2], np.float32), counts, fold=Fold("histogram", 0, 2, 2))
    assert list(counts) == [2, 3]


def test_a_runner_writes_what_it_kept_when_it_is_closed(tiny_onnx: Any, tmp_path: Path) -> None:
    runner = open_folding(str(tiny_onnx()), {"y": Fold("max")}, str(tmp_path / "kept.npz"))
    for value in (0.0, 10.0):
        call = runner.prepare({"x": np.full((1, 4), value, np.float32)})
        assert runner.fetch(call()) == {}
    runner.close()
    with np.load(tmp_path / "kept.npz") as kept:
        assert kept["0"].shape == (1, 3)
        assert kept["0"].max() > 5


def test_a_feed_that_does_not_fit_is_refused(tiny_onnx: Any, tmp_path: Path) -> None:
    runner = open_folding(str(tiny_onnx()), {"y": Fold("max")}, str(tmp_path / "kept.npz"))
    with pytest.raises(InputError, match="x has 1 dimensions"):
        runner.prepare({"x": np.zeros(4, np.float32)})


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        open_folding(str(path), {}, str(tmp_path / "kept.npz"))
