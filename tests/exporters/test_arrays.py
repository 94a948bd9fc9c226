from __future__ import annotations

import numpy as np
import pytest
import torch

from exporters.arrays import to_numpy, to_torch


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool],
)
@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
def test_tensors_and_arrays_turn_into_each_other(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = (torch.rand(shape) * 3).to(dtype)
    array = to_numpy(tensor)
    assert array.shape == shape
    assert array.dtype.name == str(dtype).removeprefix("torch.")
    assert torch.equal(to_torch(array), tensor)
    assert to_torch(array[::-1] if shape else array).shape == shape


def test_a_tensor_has_its_own_memory() -> None:
    array = np.zeros(3, np.float32)
    to_torch(array).add_(1)
    assert not array.any()
