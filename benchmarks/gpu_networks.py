"""Networks that `benchmarks.gpu` times besides public ones, as factories for `edgekit export`.

    edgekit export benchmarks/gpu_networks.py:encoder

`encoder` is one of BERT's sizes out of torch's own layers. BERT-base (Devlin et al., 2018) has 12
layers, a width of 768, 12 heads, networks four times as wide and 30,522 words: 109 million weights.
They are random here: what is measured is time, and how far other ways to compute the same lie from
the original. `tiny` goes through every step in no time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.exportable import Exportable
from exporters.training import seeded


class Encoder(nn.Module):
    """Tokens → embedding and place → `torch.nn.TransformerEncoder` → one vector a token."""

    def __init__(self, *, layers: int, width: int, heads: int, length: int, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.places = nn.Parameter(0.02 * torch.randn(length, width))
        self.norm = nn.LayerNorm(width)
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            dim_feedforward=4 * width,
            activation="gelu",
            batch_first=True,
        )
        # A nested tensor is for padding, of which there is none here.
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return float32 of [batch, length, width] for int64 tokens of [batch, length]."""
        states: Tensor = self.encoder(self.norm(self.embedding(tokens) + self.places))
        return states


def encoder(
    *,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    length: int = 128,
    words: int = 30522,
    seed: int = 0,
) -> Exportable:
    """Make the encoder with random weights, for 1 to 32 sequences of `length` tokens."""
    with seeded(seed):
        module = Encoder(layers=layers, width=width, heads=heads, length=length, words=words)
        example = torch.randint(words, (2, length))
    return Exportable(
        module.eval(),
        (example,),
        output_names=["states"],
        dynamic={"tokens": ("batch:1..32", None)},
        values={"tokens": (0, words - 1)},
        name="encoder",
    )


def tiny(*, width: int = 32, seed: int = 0) -> Exportable:
    """Make two linear layers with random weights, for 1 to 64 rows."""
    with seeded(seed):
        module = nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 4))
        example = torch.rand(2, 16)
    return Exportable(
        module.eval(),
        (example,),
        input_names=["x"],
        output_names=["y"],
        dynamic={"x": ("batch:1..64", None)},
        values={"x": (0.0, 1.0)},
        name="tiny",
    )
