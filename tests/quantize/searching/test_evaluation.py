"""Models held against one parent whose answers are computed once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="graphs are built with onnx")

from edgekit.errors import ModelFileError
from edgekit.metrics import SQNR_FLOOR_DB, UNBOUNDED
from edgekit.quantize.searching.evaluation import Evaluation, in_db, powers, ratio
from edgekit.tensors import Case, Dataset

FEEDS = [np.linspace(-1, 1 + index, 12, dtype=np.float32).reshape(3, 4) for index in range(5)]
TWICE = "(float[n,4] x) => (float[n,4] y) { y = Add(x, x) }"


class Cases:
    """A dataset that counts how often it is read."""

    def __init__(self, labels: list[int] | None = None) -> None:
        self.passes = 0
        self._labels = labels

    def dataset(self) -> Dataset:
        return Dataset("cases", "test", "", len(FEEDS), self._open)

    def _open(self) -> Iterator[Case]:
        self.passes += 1
        for index, x in enumerate(FEEDS):
            rows = x if self._labels is None else x[:1]
            yield Case({"x": rows}, label=None if self._labels is None else self._labels[index])


def test_noise_is_that_of_the_answers(save: Any, tmp_path: Path) -> None:
    cases = Cases()
    parent = save(TWICE)
    factor = save(
        "(float[n,4] x) => (float[n,4] y) { c = Constant<value_float=2.02>() y = Mul(x, c) }",
        name="m",
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with Evaluation(
        parent, cases.dataset(), scratch=scratch, metric="closeness", output="y"
    ) as beside:
        noise = beside.noise(factor)
        same = beside.noise(parent)
        again = beside.noise(factor)
    assert noise.nsr == pytest.approx(1e-4, rel=1e-3)
    assert noise.sqnr_db == pytest.approx(40.0, abs=0.01)
    assert noise.cosine == pytest.approx(1.0)
    assert (same.nsr, same.sqnr_db, same.cosine) == (0.0, None, 1.0)
    assert again == noise
    assert cases.passes == 4  # the parent's once, and each model's
    assert list(scratch.iterdir()) == []


def test_quality_is_paired_with_the_parents(save: Any, tmp_path: Path) -> None:
    parent = save(TWICE)
    other = save("(float[n,4] x) => (float[n,4] y) { y = Neg(x) }", name="m")
    cases = Cases(labels=[3] * 5)
    with Evaluation(parent, cases.dataset(), scratch=tmp_path, metric="top1", output="y") as beside:
        ours, parents = beside.quality(other)
    assert ours.accuracy is not None
    assert parents.accuracy is not None
    assert (ours.accuracy.value, parents.accuracy.value) == (0.0, 1.0)
    assert ours.agreement is not None
    assert ours.agreement.value == 0.0


def test_the_mean_over_outputs_counts_and_random_ones_and_integers_do_not(
    save: Any, tmp_path: Path
) -> None:
    head = "(float[n,4] x) => (float[n,4] y, float[n,4] z, float[n,4] r, int64[n] i) "
    tail = "r = RandomNormalLike(x) i = ArgMax<axis=1,keepdims=0>({}) }}"
    parent = save(head + "{ y = Add(x, x) z = Abs(x) " + tail.format("x"))
    model = save(
        head
        + "{ c = Constant<value_float=2.2>() y = Mul(x, c) z = Abs(x) m = Neg(x) "
        + tail.format("m"),
        name="m",
    )
    with Evaluation(
        parent, Cases().dataset(), scratch=tmp_path, metric="closeness", output="y", random=["r"]
    ) as beside:
        assert beside.noise(model).nsr == pytest.approx(0.01 / 2, rel=1e-3)


def test_answers_that_are_lost_are_the_worst_noise(save: Any, tmp_path: Path) -> None:
    parent = save(TWICE)
    model = save("(float[n,4] x) => (float[n,4] y) { y = Log(x) }", name="m")
    with Evaluation(
        parent, Cases().dataset(), scratch=tmp_path, metric="closeness", output="y"
    ) as b:
        noise = b.noise(model)
    assert (noise.nsr, noise.sqnr_db, noise.cosine) == (UNBOUNDED, SQNR_FLOOR_DB, 0.0)


def test_a_model_that_is_refused_leaves_the_next_one_a_process(save: Any, tmp_path: Path) -> None:
    parent = save(TWICE)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with Evaluation(
        parent, Cases().dataset(), scratch=tmp_path, metric="closeness", output="y"
    ) as b:
        with pytest.raises(ModelFileError):
            b.noise(broken)
        assert b.noise(parent).nsr == 0.0


def test_powers_and_ratios() -> None:
    assert powers(np.array([1.0, 4.0]), np.array([1.0, 2.0])) == (4.0, 5.0)
    infinite = np.array([np.inf, 1.0], np.float32)
    assert powers(infinite, infinite) == (0.0, 1.0)
    assert powers(infinite, np.ones(2, np.float32)) == (UNBOUNDED, 2.0)
    assert (ratio(0.0, 0.0), ratio(1.0, 0.0), ratio(1.0, 4.0)) == (0.0, UNBOUNDED, 0.25)
    assert in_db(0.0) is None
    assert in_db(0.01) == pytest.approx(20.0)
    assert in_db(UNBOUNDED) == SQNR_FLOOR_DB
    assert math.isfinite(in_db(1e300) or 0.0)
