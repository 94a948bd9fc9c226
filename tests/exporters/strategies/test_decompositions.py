from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from exporters.strategies.decompositions import attention, subtracted_from


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


Q, K, V = random(2, 4, 5, 8), random(2, 4, 7, 8), random(2, 4, 7, 6)
MASK = random(5, 7) > 0


@pytest.mark.parametrize(
    ("tensors", "given"),
    [
        ((Q, K, V), {}),
        ((Q, K, V), {"scale": 0.3}),
        ((Q, K, V), {"is_causal": True}),
        ((Q, K, V), {"attn_mask": MASK}),
        ((Q, K, V), {"attn_mask": random(2, 1, 5, 7)}),
        ((Q[0, 0], K[0, 0], V[0, 0]), {}),
        ((Q[0], K[0], V[0]), {"attn_mask": MASK}),
        ((Q[None], K[None], V[None]), {"is_causal": True}),
        ((Q, K[:, :2], V[:, :2]), {"enable_gqa": True}),
    ],
)
def test_attention_taken_apart_is_torch_s_own(
    tensors: tuple[torch.Tensor, ...], given: dict[str, object]
) -> None:
    torch.testing.assert_close(
        attention(*tensors, **given),  # type: ignore[arg-type]
        functional.scaled_dot_product_attention(*tensors, **given),  # type: ignore[arg-type]
    )


def test_a_row_that_sees_nothing_is_answered_by_zeros() -> None:
    mask = MASK.clone()
    mask[2] = False
    assert not attention(Q, K, V, attn_mask=mask)[:, :, 2].any()
    assert attention(Q, K, V, attn_mask=mask).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float32, torch.uint8])
@pytest.mark.parametrize("number", [1, 1.0, 2.5])
def test_a_tensor_is_subtracted_from_a_number(dtype: torch.dtype, number: float) -> None:
    mask = torch.tensor([0, 1, 1], dtype=dtype)
    torch.testing.assert_close(subtracted_from(mask, number), number - mask)
    torch.testing.assert_close(subtracted_from(mask, number, 2), torch.rsub(mask, number, alpha=2))


class MaskTakes(nn.Module):
    def forward(self, mask: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return x * (1.0 - mask)


def test_the_most_usual_line_about_masks_is_exported(attempt_here) -> None:  # type: ignore[no-untyped-def]
    made = attempt_here(
        MaskTakes(),
        (torch.ones(2, 3, dtype=torch.int64), torch.rand(2, 3)),
        dynamic={"mask": ["n"], "x": ["n"]},
        values={"mask": (0, 1)},
        options={"strategy": "decomposed"},
    )
    assert made.done.closeness[0].max_abs_error < 1e-6
