"""Tensors as numpy arrays and back, bfloat16 included."""

from __future__ import annotations

import numpy as np
import torch

from edgekit.tensors import Array


def to_numpy(tensor: torch.Tensor) -> Array:
    """Return a tensor's values as numpy; bfloat16 as `ml_dtypes.bfloat16`."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def to_torch(array: Array) -> torch.Tensor:
    """Return an array as a tensor of its own memory."""
    array = np.asarray(array, order="C")
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())
