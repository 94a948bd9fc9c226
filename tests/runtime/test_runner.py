from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import ModelClosed
from edgekit.package.values import SessionChoice
from edgekit.runtime.runner import open_variant
from edgekit.tensors import dim_sizes

Answer = Callable[[dict[str, Any]], Any]
CHOICE = SessionChoice(threads=1, idle="sleep")
X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize("second_input", [False, True])
def test_a_runner_answers_a_prepared_feed_again_and_again(
    second_input: bool, tiny_onnx: Any, tiny_answer: Answer
) -> None:
    runner = open_variant(str(tiny_onnx(second_input=second_input)), "portable", CHOICE)
    feed = {"x": X, "offset": X[:, :3].copy()} if second_input else {"x": X}
    call = runner.prepare(feed)
    for _ in range(3):
        answer = runner.fetch(call())
        assert list(answer) == ["y"]
        np.testing.assert_allclose(answer["y"], tiny_answer(feed), atol=1e-6)
    runner.close()
    with pytest.raises(ModelClosed):
        call()


def test_a_runner_tells_what_it_runs(tiny_package: Path) -> None:
    runner = open_variant(str(tiny_package), "fp32", CHOICE)
    assert (runner.facts.provider, runner.facts.precision) == ("cpu", "fp32")
    assert (runner.facts.threads, runner.facts.idle) == (1, "sleep")
    assert dim_sizes(runner.signature, {"x": X}) == {"batch": 3}


@pytest.mark.parametrize("second_input", [False, True])
def test_a_runner_on_the_device_answers_as_one_on_the_host(
    second_input: bool, tiny_onnx: Any, tiny_answer: Answer
) -> None:
    path = str(tiny_onnx(second_input=second_input))
    runner = open_variant(path, "portable", CHOICE, arrays="device")
    assert runner.facts.arrays == "device"
    for scale in (1, 2):
        feed = {"x": X * scale, "offset": X[:, :3].copy()} if second_input else {"x": X * scale}
        call = runner.prepare(feed)
        for _ in range(3):
            answer = runner.fetch(call())
            assert list(answer) == ["y"]
            np.testing.assert_allclose(answer["y"], tiny_answer(feed), atol=1e-6)
    runner.close()
    with pytest.raises(ModelClosed):
        runner.prepare(feed)


def test_a_runner_counts_copies_where_it_is_asked_to(tiny_package: Path) -> None:
    runner = open_variant(str(tiny_package), "fp32", CHOICE, profiled={"x": X})
    assert (runner.facts.copies, runner.facts.arrays) == (0, "host")
