"""An original in fp16: the same inputs and outputs, other arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from exporters.halved import Halved


class Seen(nn.Module):
    """Remembers the types that went into it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([1.0, 1 / 3]))
        self.seen: list[torch.dtype] = []

    def forward(self, x: Tensor, *, mask: Tensor) -> dict[str, Tensor | list[Tensor]]:
        self.seen = [x.dtype, mask.dtype, self.scale.dtype]
        return {"y": x * self.scale, "others": [mask, x.argmax(-1)]}


def test_halved_module_computes_in_fp16_and_takes_and_gives_what_it_did() -> None:
    module = Seen()
    exact = module(torch.ones(3, 2), mask=torch.ones(3, dtype=torch.bool))
    halved = Halved(module)
    with torch.inference_mode():
        got = halved(torch.ones(3, 2), mask=torch.ones(3, dtype=torch.bool))
    assert module.seen == [torch.float16, torch.bool, torch.float16]
    assert [got["y"].dtype, *(t.dtype for t in got["others"])] == [
        torch.float32,
        torch.bool,
        torch.int64,
    ]
    assert 0 < (got["y"] - exact["y"]).abs().max() < 1e-3
    assert torch.equal(got["y"], got["y"].half().float())
