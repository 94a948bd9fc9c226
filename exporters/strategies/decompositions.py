"""Operators taken apart where torch's own translation into ONNX is missing, narrow or wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(QKᵀ · scale + mask) V (Vaswani et al. 2017, equation 1), over any number of axes.

    torch's translation takes four axes alone. Where every key of a row is masked, torch's fused
    attention answers 0, and softmax alone would answer NaN or the mean of the values.
    """
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (tensor.repeat_interleave(groups, -3) for tensor in (key, value))
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        ones = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device)
        attn_mask = ones.tril()
    if attn_mask is None:
        return torch.softmax(scores, -1) @ value
    if attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    else:
        scores = scores + attn_mask
    hidden = (scores == float("-inf")).all(-1, keepdim=True)
    return torch.where(hidden, 0.0, torch.softmax(scores, -1)) @ value


def subtracted_from(tensor: Tensor, number: float, alpha: float = 1) -> Tensor:
    """number − alpha · tensor; torch's translation fails where one is whole and the other isn't.

    `1.0 - mask`, with a mask of whole numbers, stands in most modules that take a mask.
    """
    dtype = torch.result_type(tensor, number)
    return torch.sub(torch.scalar_tensor(number, dtype=dtype), tensor.to(dtype), alpha=alpha)


TABLE: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.scaled_dot_product_attention.default: attention,
    torch.ops.aten.rsub.Scalar: subtracted_from,
}
