"""A transformer that reads a handwritten digit as a sequence of ink levels.

A digit is 49 tokens out of 17: how much ink a square of 4×4 pixels holds. Each becomes a vector of
64, its embedding plus the encoding of its place (Vaswani et al., 2017)

    PE(pos, 2i) = sin(pos / 10000^(2i/d))        PE(pos, 2i+1) = cos(pos / 10000^(2i/d))

and the encoder reads the sequence. With `encoder=attention` that is layers of self-attention in
several heads, softmax(QKᵀ/√d + mask) V with d the size of a head, and of a small network at each
place; both are added to what they read, which is normalised before. The mean over the sequence is
turned into class scores. With `encoder=lstm` an LSTM encodes the sequence, another one decodes
what the first says, beside what it read, and the last place is turned into class scores.

`mask` is a second input, true where a token is and false where the sequence was filled up: without
it a batch could hold sequences of one length only, and a filled-up one would be read as if the
padding were paper without ink. With `encoder=lstm` the padding must come last.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgekit.errors import BadValue, UnknownName
from edgekit.terms import SequenceEncoder, members
from exporters.datasets import digits
from exporters.digit_readers import digit_reader
from exporters.exportable import Exportable
from exporters.training import Course, seeded

WIDTH = 64
HEADS = 4
LONGEST = 512
"""Places that have an encoding: the longest sequence that can be read."""


class Transformer(nn.Module):
    """Tokens → embedding and place → encoder → one vector a sequence → linear 10 class scores."""

    def __init__(self, encoder: SequenceEncoder = "attention", num_layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(digits.VOCABULARY, WIDTH)
        self.register_buffer("places", positional_encoding(LONGEST, WIDTH), persistent=False)
        self.encoder = sequence_encoder(encoder, num_layers)
        self.classes = nn.Linear(WIDTH, digits.CLASSES)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return float32 scores of [batch, 10].

        `tokens` is int64 of [batch, length], each from 0 to 16, and length at most 512. `mask` is
        bool of [batch, length], true where a token is to be read; None reads all of them.
        """
        if mask is None:
            mask = torch.ones_like(tokens, dtype=torch.bool)
        places = self.get_buffer("places")[: tokens.shape[1]]
        scores: Tensor = self.classes(self.encoder(self.embedding(tokens) + places, mask))
        return scores


class AttentionEncoder(nn.Module):
    """Layers of self-attention, and the mean over the tokens of each sequence."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AttentionLayer(WIDTH, HEADS) for _ in range(num_layers))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [batch, 64] for x of [batch, length, 64]; zeros where no token is to be read."""
        for layer in self.layers:
            x = layer(x, mask)
        read = mask.unsqueeze(-1).to(x.dtype)
        mean: Tensor = (self.norm(x) * read).sum(1) / read.sum(1).clamp(min=1)
        return mean


class AttentionLayer(nn.Module):
    """x + attention(norm(x)), then x + network(norm(x)).

    Written out, since torch's own nn.TransformerEncoderLayer takes another way through kernels that
    no exporter knows when it is in eval mode.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.joined = nn.Linear(width, width)
        self.network_norm = nn.LayerNorm(width)
        self.network = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [batch, length, width], as x is."""
        x = x + self.attend(self.attention_norm(x), mask)
        added: Tensor = x + self.network(self.network_norm(x))
        return added

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Let each place of x gather what the others hold, as much as they have to do with it."""
        gathered = self.weights(x, mask) @ self._by_head(self.value(x))
        joined: Tensor = self.joined(gathered.transpose(1, 2).flatten(2))
        return joined

    def weights(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return softmax(QKᵀ/√d + mask), [batch, heads, length, length]: each row sums to one."""
        query, key = self._by_head(self.query(x)), self._by_head(self.key(x))
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        # The lowest number and not −∞, so that a sequence of nothing but padding has weights too.
        scores = scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=-1)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class LstmEncoder(nn.Module):
    """An LSTM that encodes, one that decodes what it says, and the last token's place."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.encoder = nn.LSTM(WIDTH, WIDTH, num_layers, batch_first=True)
        self.decoder = nn.LSTM(WIDTH, WIDTH, num_layers, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return [batch, 64] for x of [batch, length, 64]. Padding must come after the tokens."""
        encoded, _ = self.encoder(x)
        # What the encoder read goes along. Besides, torch 2.13 exports two LSTMs with nothing in
        # between as a graph that holds for the example's length alone.
        # The decoder doesn't start from the encoder's last state, which has read the padding too.
        decoded, _ = self.decoder(x + encoded)
        numbers = torch.arange(mask.shape[1], device=mask.device)
        last = (numbers * mask).amax(1)
        at_last = last[:, None, None].expand(-1, 1, decoded.shape[-1])
        last_state: Tensor = decoded.gather(1, at_last).squeeze(1)
        return last_state


def transformer(
    *,
    encoder: SequenceEncoder = "attention",
    num_layers: int = 2,
    seed: int = 0,
    epochs: int = 20,
) -> Exportable:
    """Train the network on 3,500 digits, or take the weights kept from the last time.

    With the `attention` encoder of two layers it reads at least 88 % of the 1,500 held-out digits
    right: the squares are coarse. `seed` decides the first weights, the order of the digits and how
    each is shifted before its ink is measured.

    Raises:
        BadValue, UnknownName: no such encoder, or no layer.
        MissingExtra: the package that ships the digits isn't installed.
    """
    with seeded(seed):
        module = Transformer(encoder, num_layers)
    return digit_reader(
        "transformer",
        module,
        Course(epochs, lr=3e-3, shift=2, clip=1.0, seed=seed),
        form=as_feed,
        dynamic={
            "tokens": ("batch:1..64", f"length:1..{LONGEST}"),
            "mask": ("batch", "length"),
        },
        values={"tokens": (0, digits.VOCABULARY - 1)},
        preprocessing="grey digits, ink 255 on paper 0: for each square of 4×4 pixels, from top "
        "left to bottom right, the sum of its pixels divided by 255 and rounded is a token, and "
        "mask is true there; fill shorter sequences up with 0, and mask with false",
    )


def as_feed(images: NDArray[np.uint8]) -> dict[str, NDArray[np.int64] | NDArray[np.bool_]]:
    """Make the network's inputs of digits of [n, 28, 28]: none of the tokens is padding."""
    tokens = digits.as_tokens(images)
    return {"tokens": tokens, "mask": np.ones(tokens.shape, np.bool_)}


def positional_encoding(length: int, width: int) -> Tensor:
    """Return PE, float32 of [length, width]: a row a place, sines in its even columns, cosines in
    its odd ones.
    """
    # In double, so that the angle of a far place is as exact as that of a near one.
    position = torch.arange(length, dtype=torch.float64)[:, None]
    angle = position / 10000 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1).float()


def sequence_encoder(encoder: SequenceEncoder, num_layers: int) -> AttentionEncoder | LstmEncoder:
    """Make what turns [batch, length, 64] and a mask into [batch, 64].

    Raises:
        UnknownName: no such encoder.
        BadValue: fewer than one layer.
    """
    if encoder not in members(SequenceEncoder):
        raise UnknownName(kind="encoder", asked=encoder, available=list(members(SequenceEncoder)))
    if num_layers < 1:
        raise BadValue(what="num_layers", asked=str(num_layers), expected="1 or more")
    return AttentionEncoder(num_layers) if encoder == "attention" else LstmEncoder(num_layers)
