"""What a small model takes, and twenty cases for it."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.tensors import Array, Dim, Signature, TensorSpec


@pytest.fixture
def takes() -> Signature:
    """`image` [batch:1..8, 3, 4], whose values lie in 0..1, and `scores` [batch, 5]."""
    batch = Dim("batch", 1, 8)
    return Signature(
        (TensorSpec("image", "float32", (batch, 3, 4), values=(0, 1)),),
        (TensorSpec("scores", "float32", (batch, 5)),),
    )


@pytest.fixture
def images() -> Array:
    """Twenty images of [3, 4], float32."""
    return np.random.default_rng(0).random((20, 3, 4), np.float32)


@pytest.fixture
def labels() -> Array:
    """Their classes."""
    return np.arange(20) % 5
