from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.errors import BadValue, UnknownName
from edgekit.terms import SequenceEncoder, members
from exporters.exportable import Exportable
from exporters.models.transformer import (
    HEADS,
    LONGEST,
    WIDTH,
    AttentionLayer,
    Transformer,
    positional_encoding,
    transformer,
)
from exporters.training import seeded

Weights = Callable[[nn.Module], dict[str, np.ndarray]]
ENCODERS = members(SequenceEncoder)


def untrained(encoder: SequenceEncoder = "attention") -> Transformer:
    with seeded(3):
        return Transformer(encoder).double().eval()


def some_tokens(batch: int, length: int) -> Tensor:
    return torch.randint(0, 17, (batch, length), generator=torch.Generator().manual_seed(length))


def test_positional_encoding_follows_its_equation() -> None:
    table = positional_encoding(50, 6).numpy()
    assert table.dtype == np.float32
    for place in range(50):
        for i in range(3):
            angle = place / 10000 ** (2 * i / 6)
            assert table[place, 2 * i] == pytest.approx(math.sin(angle), abs=1e-7)
            assert table[place, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-7)


def softmax(x: np.ndarray) -> np.ndarray:
    shares = np.exp(x - x.max(-1, keepdims=True))
    answer: np.ndarray = shares / shares.sum(-1, keepdims=True)
    return answer


def linear(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    answer: np.ndarray = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    return answer


def normalised(w: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    spread = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    answer: np.ndarray = (x - x.mean(-1, keepdims=True)) / spread
    answer = answer * w[f"{name}.weight"] + w[f"{name}.bias"]
    return answer


def attended(w: dict[str, np.ndarray], x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """softmax(QKᵀ/√d) V of one sequence, head after head, places without a token left out."""
    q, k, v = (linear(w, name, x) for name in ("query", "key", "value"))
    size = WIDTH // HEADS
    heads = []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[mask][:, part].T / math.sqrt(size)
        heads.append(softmax(scores) @ v[mask][:, part])
    return linear(w, "joined", np.concatenate(heads, axis=1))


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x.ravel()]).reshape(
        x.shape
    )


def followed(w: dict[str, np.ndarray], tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Compute the class scores of one sequence."""
    x = w["embedding.weight"][tokens] + positional_encoding(len(tokens), WIDTH).double().numpy()
    for number in range(2):
        start = f"encoder.layers.{number}."
        layer = {k.removeprefix(start): v for k, v in w.items() if k.startswith(start)}
        x = x + attended(layer, normalised(layer, "attention_norm", x), mask)
        inner = gelu(linear(layer, "network.0", normalised(layer, "network_norm", x)))
        x = x + linear(layer, "network.2", inner)
    return linear(w, "classes", normalised(w, "encoder.norm", x)[mask].mean(0))


def test_network_follows_its_equations(weights: Weights) -> None:
    module = untrained()
    w = weights(module)
    tokens = some_tokens(3, 7)
    mask = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [False, True, True] * 2 + [False]])
    with torch.no_grad():
        y = module(tokens, mask).numpy()
    for i in range(len(tokens)):
        expected = followed(w, tokens[i].numpy(), mask[i].numpy())
        np.testing.assert_allclose(y[i], expected, rtol=1e-8, atol=1e-10)


def test_attention_weights_sum_to_one_and_leave_padding_out() -> None:
    with seeded(3):
        layer = AttentionLayer(WIDTH, HEADS).double()
    x = 20 * torch.randn(2, 5, WIDTH, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    with torch.no_grad():
        e = layer.weights(x, mask)
    assert e.shape == (2, HEADS, 5, 5)
    assert torch.allclose(e.sum(-1), torch.ones(2, HEADS, 5, dtype=torch.float64))
    assert (e[1][..., ~mask[1]] == 0).all()
    assert (e[0] > 0).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_padding_changes_nothing(encoder: SequenceEncoder) -> None:
    """A sequence filled up and masked is read like the sequence alone."""
    module = untrained(encoder)
    tokens = some_tokens(4, 20)
    lengths = torch.tensor([20, 13, 1, 7])
    mask = torch.arange(20) < lengths[:, None]
    with torch.no_grad():
        together = module(tokens, mask)
        for i, length in enumerate(lengths.tolist()):
            alone = module(tokens[i : i + 1, :length])
            assert torch.allclose(together[i], alone[0], rtol=1e-10, atol=1e-12)
        assert not torch.allclose(together[1], module(tokens)[1])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_no_mask_reads_all_tokens(encoder: SequenceEncoder) -> None:
    module, tokens = untrained(encoder), some_tokens(2, 9)
    with torch.no_grad():
        assert torch.equal(module(tokens), module(tokens, torch.ones(2, 9, dtype=torch.bool)))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_sequence_of_nothing_but_padding_has_an_answer(encoder: SequenceEncoder) -> None:
    module = untrained(encoder)
    with torch.no_grad():
        scores = module(some_tokens(1, 6), torch.zeros(1, 6, dtype=torch.bool))
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_network_takes_any_batch_and_length_up_to_its_longest(encoder: SequenceEncoder) -> None:
    module = untrained(encoder)
    with torch.no_grad():
        for batch, length in [(1, 1), (3, 49), (1, LONGEST)]:
            assert module(some_tokens(batch, length)).shape == (batch, 10)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_network_tells_the_same_tokens_in_another_order_apart(encoder: SequenceEncoder) -> None:
    module, tokens = untrained(encoder), some_tokens(1, 12)
    with torch.no_grad():
        assert not torch.allclose(module(tokens), module(tokens.flip(1)), atol=1e-4)


def test_network_refuses_what_it_cannot_be_made_of() -> None:
    with pytest.raises(UnknownName, match="no encoder 'gru'; there is: attention, lstm"):
        Transformer("gru")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match="num_layers"):
        Transformer(num_layers=0)


def test_transformer_learns(top1: Callable[[Exportable], float]) -> None:
    """All of its training takes 40 s: `benchmarks.reference_accuracy` holds it to its bar."""
    assert top1(transformer(epochs=4)) >= 0.4  # by chance it were 0.1


def test_transformer_learns_with_the_lstm_encoder(top1: Callable[[Exportable], float]) -> None:
    assert top1(transformer(encoder="lstm", epochs=3)) >= 0.3


def test_transformer_describes_itself() -> None:
    made = transformer(encoder="lstm", epochs=3)
    shapes = {name: (tuple(x.shape), x.dtype) for name, x in made.inputs().items()}
    assert shapes == {"tokens": ((2, 49), torch.int64), "mask": ((2, 49), torch.bool)}
    assert made.dynamic == {
        "tokens": ("batch:1..64", "length:1..512"),
        "mask": ("batch", "length"),
    }
    assert made.values == {"tokens": (0, 16)}
    assert not made.module.training
