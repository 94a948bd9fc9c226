from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.errors import BadValue
from edgekit.tensors import Case
from exporters.exportable import Exportable
from exporters.models.dqn import Dqn, dqn
from exporters.training import seeded

Weights = Callable[[nn.Module], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def made() -> Exportable:
    return dqn()


@pytest.fixture(scope="module")
def cases(made: Exportable) -> list[Case]:
    """Return all that the network is evaluated on: the slow part of this file."""
    assert made.evaluation is not None
    return list(made.evaluation())


def stacks_of(cases: list[Case]) -> np.ndarray:
    return np.concatenate([np.asarray(case.feed["frames"]) for case in cases])


def convolution(x: np.ndarray, w: dict[str, np.ndarray], name: str, *, stride: int) -> np.ndarray:
    """y(i, j) = Σp Σq x(i·s + p, j·s + q) · k(p, q), over the channels, plus a bias."""
    kernel, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    rows, columns = kernel.shape[2:]
    places = np.lib.stride_tricks.sliding_window_view(x, (rows, columns), axis=(1, 2))
    seen = places[:, ::stride, ::stride]
    y: np.ndarray = np.einsum("cijpq,ocpq->oij", seen, kernel) + bias[:, None, None]
    return y


def test_network_follows_its_equations(weights: Weights) -> None:
    with seeded(3):
        module = Dqn(5).double().eval()
    w = weights(module)
    frames = np.random.default_rng(0).integers(0, 256, (4, 84, 84), np.uint8)
    x = np.maximum(convolution(frames / 255, w, "conv1", stride=4), 0)
    assert x.shape == (32, 20, 20)
    x = np.maximum(convolution(x, w, "conv2", stride=2), 0)
    assert x.shape == (64, 9, 9)
    x = np.maximum(convolution(x, w, "conv3", stride=1), 0)
    assert x.shape == (64, 7, 7)
    x = np.maximum(w["hidden.weight"] @ x.ravel() + w["hidden.bias"], 0)
    assert x.shape == (512,)
    expected = w["worth.weight"] @ x + w["worth.bias"]
    with torch.no_grad():
        q = module(torch.from_numpy(frames)[None])[0].numpy()
    assert q.shape == (5,)
    np.testing.assert_allclose(q, expected, rtol=1e-9, atol=1e-12)


def test_cases_are_labelled_with_the_greedy_action(made: Exportable, cases: list[Case]) -> None:
    assert len(cases) == 500
    with torch.no_grad():
        q = made.module(torch.from_numpy(stacks_of(cases))).numpy()
    labels = np.array([case.label for case in cases])
    # Whether the batch is one or all moves the last bits, so equal worths may be told apart.
    np.testing.assert_allclose(q[np.arange(500), labels], q.max(1), rtol=1e-4, atol=1e-5)


def test_greedy_actions_differ_from_frame_to_frame(cases: list[Case]) -> None:
    """Else any network would agree with any other, and agreement would say nothing."""
    counts = np.bincount([case.label or 0 for case in cases], minlength=6)
    assert counts.max() < 0.75 * counts.sum()
    assert (counts > 0).sum() >= 4


def test_dqn_keeps_calibration_and_evaluation_apart(made: Exportable, cases: list[Case]) -> None:
    assert made.calibration is not None
    calibration = {stack.tobytes() for stack in stacks_of(list(made.calibration()))}
    evaluation = {stack.tobytes() for stack in stacks_of(cases)}
    assert len(calibration) == 128
    assert len(evaluation) == 500
    assert not calibration & evaluation


def test_dqn_describes_itself(made: Exportable) -> None:
    (frames,) = made.inputs().values()
    assert frames.shape == (2, 4, 84, 84)
    assert frames.dtype == torch.uint8
    assert list(made.labels or ()) == [f"action {number}" for number in range(6)]
    assert not made.module.training


def test_dqn_takes_the_number_of_actions() -> None:
    with torch.no_grad():
        assert dqn(actions=18).module(torch.zeros(1, 4, 84, 84, dtype=torch.uint8)).shape == (1, 18)
    with pytest.raises(BadValue, match="actions"):
        dqn(actions=1)
