"""Attention: fast paths, masks, and rows that may look at nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from exporters.exportable import Exportable

TOKENS = {"x": ["n", "t", None]}


class Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        answer, weights = self.attention(x, x, x, need_weights=True, average_attn_weights=False)
        return answer, weights


def multihead_with_weights() -> Exportable:
    return Exportable(Weights(), (torch.randn(3, 5, 8),), dynamic=TOKENS)


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        answer: Tensor = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        return answer


def multihead_with_padding() -> Exportable:
    """A row that is all padding gives NaN in torch; what matters is that both say so."""
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = True
    return Exportable(
        Padded(),
        (torch.randn(3, 5, 8), padding),
        dynamic={"x": ["n", "t", None], "padding": ["n", "t"]},
    )


class Encoder(nn.Module):
    """In evaluation mode and without gradients torch takes another, fused way."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.encoder(x)
        return answer


def transformer_encoder() -> Exportable:
    """pytorch#110557: the fast path of the encoder layer came out otherwise."""
    return Exportable(Encoder(), (torch.randn(3, 5, 8),), dynamic=TOKENS)


class PaddedEncoder(Encoder):
    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        answer: Tensor = self.encoder(x, src_key_padding_mask=padding)
        return answer


def transformer_encoder_with_padding() -> Exportable:
    """The fast path cuts off trailing padding and fills zeros in: another answer there."""
    padding = torch.zeros(3, 5, dtype=torch.bool)
    padding[1, 3:] = True
    return Exportable(
        PaddedEncoder(),
        (torch.randn(3, 5, 8), padding),
        dynamic={"x": ["n", "t", None], "padding": ["n", "t"]},
    )


class Causal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        heads = x.view(*x.shape[:2], 2, -1).transpose(1, 2)
        answer = functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        return answer.transpose(1, 2).flatten(2)


def causal() -> Exportable:
    return Exportable(Causal(), (torch.randn(3, 5, 8),), dynamic=TOKENS)


class CausalAcross(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, y, y, is_causal=True)


def causal_of_unequal_lengths() -> Exportable:
    """torch aligns the triangle at the upper left."""
    return Exportable(
        CausalAcross(),
        (torch.randn(3, 5, 8), torch.randn(3, 7, 8)),
        dynamic={"x": ["n", "t", None], "y": ["n", "s", None]},
    )


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def boolean_mask() -> Exportable:
    """onnxscript#2479: a row that may look at nothing is 0 in torch and was NaN in ONNX."""
    mask = torch.ones(3, 5, 5, dtype=torch.bool)
    mask[0, 1] = False
    return Exportable(
        Masked(),
        (torch.randn(3, 5, 8), mask),
        dynamic={"x": ["n", "t", None], "mask": ["n", "t", "t"]},
    )


def float_mask() -> Exportable:
    return Exportable(
        Masked(),
        (torch.randn(3, 5, 8), torch.randn(3, 5, 5)),
        dynamic={"x": ["n", "t", None], "mask": ["n", "t", "t"]},
    )


class Infinite(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = (x @ x.transpose(1, 2)).masked_fill(~mask, float("-inf"))
        return torch.softmax(scores, -1).nan_to_num() @ x


def softmax_of_infinities() -> Exportable:
    mask = torch.rand(3, 5, 5) < 0.5
    return Exportable(
        Infinite(),
        (torch.randn(3, 5, 8), mask),
        dynamic={"x": ["n", "t", None], "mask": ["n", "t", "t"]},
    )


class Grouped(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, y, y, enable_gqa=True, scale=0.3)


def grouped_heads() -> Exportable:
    return Exportable(
        Grouped(),
        (torch.randn(2, 4, 5, 8), torch.randn(2, 2, 7, 8)),
        dynamic={"x": ["n", None, "t", None], "y": ["n", None, "s", None]},
    )


class Cached(nn.Module):
    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        keys = torch.cat([past, x], 1)
        allowed = torch.ones(x.shape[1], keys.shape[1], dtype=torch.bool).tril(past.shape[1])
        return functional.scaled_dot_product_attention(x, keys, keys, attn_mask=allowed), keys


def key_value_cache() -> Exportable:
    return Exportable(
        Cached(),
        (torch.randn(2, 3, 8), torch.randn(2, 5, 8)),
        dynamic={"x": ["n", "t", None], "past": ["n", "p", None]},
    )


class Rotary(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(x.shape[1]).float(), 10000 ** (-torch.arange(4) / 4))
        a, b = x.chunk(2, -1)
        return torch.cat(
            [a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1
        )


def rotary_positions() -> Exportable:
    return Exportable(Rotary(), (torch.randn(3, 5, 8),), dynamic=TOKENS)


class ComplexRotary(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        angles = torch.outer(torch.arange(x.shape[1]).float(), 10000 ** (-torch.arange(4) / 4))
        turned = torch.view_as_complex(x.view(*x.shape[:2], 4, 2)) * torch.polar(
            torch.ones_like(angles), angles
        )
        return torch.view_as_real(turned).flatten(-2)


def rotary_positions_by_complex_numbers() -> Exportable:
    return Exportable(ComplexRotary(), (torch.randn(3, 5, 8),), dynamic=TOKENS)
