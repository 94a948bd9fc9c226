"""Which arrays are read on the device where a model computes, and which are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import InputError
from edgekit.runtime.devices import Place
from edgekit.runtime.resident import on_device


class Lies:
    """An array of which only the device is known, by DLPack's number of its kind."""

    def __init__(self, kind: int, index: int = 0) -> None:
        self.device = kind, index

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


CUDA, HOST = Place("cuda", 0), np.zeros(2)


@pytest.mark.parametrize(
    ("feed", "there"),
    [
        ({}, False),
        ({"a": HOST}, False),
        ({"a": [1.0], "b": HOST}, False),
        ({"a": Lies(1), "b": HOST}, False),
        ({"a": Lies(3)}, False),
        ({"a": Lies(2)}, True),
        ({"a": Lies(2), "b": Lies(2)}, True),
    ],
)
def test_a_feed_is_on_the_device_where_all_of_it_is(feed: dict[str, Any], there: bool) -> None:
    assert on_device(feed, CUDA) is there


@pytest.mark.parametrize(
    ("feed", "here", "said"),
    [
        (
            {"a": Lies(2), "b": HOST},
            CUDA,
            r"a lies on cuda:0 and b doesn't: pass all inputs on cuda:0, where "
            r"model\.to_device\(array\) copies them, or all from the host",
        ),
        (
            {"a": HOST, "b": Lies(2, 1)},
            CUDA,
            r"b lies on cuda:1 and the model computes on cuda:0: move it there, or load the model "
            r"with provider_options=\{'device_id': '1'\}",
        ),
        (
            {"a": Lies(2)},
            Place(),
            r"a lies on cuda:0 and the model computes on cpu: pass a copy in the processor's "
            r"memory \(.*\), or load the model with provider='cuda'",
        ),
        ({"a": Lies(10)}, CUDA, r"a lies on rocm:0 and the model computes on cuda:0: pass a copy"),
    ],
)
def test_arrays_out_of_reach_are_refused_with_what_to_do(
    feed: dict[str, Any], here: Place, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        on_device(feed, here)


def test_a_model_on_the_processor_says_so_of_an_array_on_a_gpu(tiny_onnx: Any) -> None:
    model = edgekit.load(tiny_onnx())
    with pytest.raises(InputError, match="x lies on cuda:0 and the model computes on cpu"):
        model(Lies(2))
