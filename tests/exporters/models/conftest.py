"""Weights as numpy has them, and the share of digits that a trained model reads right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("torch", reason="the reference models are torch modules")

import torch
from torch import nn

from exporters.exportable import Exportable


@pytest.fixture
def weights() -> Callable[[nn.Module], dict[str, np.ndarray]]:
    """Return a module's weights by name, in double precision."""
    return lambda module: {
        name: value.detach().double().numpy() for name, value in module.state_dict().items()
    }


@pytest.fixture
def top1() -> Callable[[Exportable], float]:
    """Return the share of the 1,500 held-out digits that an exportable's module reads right."""

    def share(exportable: Exportable) -> float:
        assert exportable.evaluation is not None
        cases = list(exportable.evaluation())
        assert len(cases) == 1500
        inputs = [
            torch.from_numpy(np.concatenate([np.asarray(case.feed[name]) for case in cases]))
            for name in exportable.inputs()
        ]
        with torch.no_grad():
            answers = exportable.module(*inputs).argmax(1).numpy()
        return float((answers == np.array([case.label for case in cases])).mean())

    return share
